//go:build synctests

package simulation

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// inFlightLimit is how many bytes may be on their way in one direction: the
// buffers of both ends' sockets.
const inFlightLimit = 256 << 10

// wire is a connection. Both ends share its lock and its signal.
type wire struct {
	network *network
	nodes   [2]string // the one that dialled, the one that listened
	ends    [2]*end

	mu      sync.Mutex
	changed *sync.Cond
	weather weather
	broken  bool
}

// end is one end of a wire. What the other end wrote is in inbound.
type end struct {
	wire   *wire
	peer   *end
	local  address
	remote address

	// judge, if not nil, decides what becomes of each write. It is set before the
	// connection is used.
	judge func(b []byte) verdict

	// All below belongs to wire.mu.
	inbound  []parcel
	size     int       // bytes of inbound
	arrival  time.Time // of the last parcel of inbound, also of those that were read
	closed   bool
	mute     bool // nothing arrives any more
	reading  deadline
	writing  deadline
	due      *time.Timer // wakes readers when the first parcel arrives
	dueAt    time.Time
	consumed int // of the first parcel
}

// parcel is something on its way.
type parcel struct {
	data []byte
	due  time.Time
}

// verdict is what becomes of what is written.
type verdict struct {
	delay time.Duration
	reset bool // the connection breaks instead
	mute  bool // nothing from here on arrives
}

func newWire(n *network, node string, l *listener, state weather) *wire {
	w := &wire{network: n, nodes: [2]string{node, l.node}, weather: state}
	w.changed = sync.NewCond(&w.mu)
	near := &end{wire: w, local: address(node + ":0"), remote: address(l.address)}
	far := &end{wire: w, local: near.remote, remote: near.local, peer: near}
	near.peer = far
	w.ends = [2]*end{near, far}
	return w
}

func (w *wire) setWeather(state weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = state
	w.changed.Broadcast()
}

// reset breaks the connection; what was on its way is lost.
func (w *wire) reset() {
	w.mu.Lock()
	w.breakLocked()
	w.mu.Unlock()
	w.network.forget(w)
}

func (w *wire) breakLocked() {
	w.broken = true
	for _, e := range w.ends {
		e.inbound = nil
		e.stopTimersLocked()
	}
	w.changed.Broadcast()
}

// hurry makes everything that is on its way arrive now.
func (w *wire) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, e := range w.ends {
		for i := range e.inbound {
			e.inbound[i].due = now
		}
		e.arrival = now
	}
	w.changed.Broadcast()
}

// Read waits for what the other end wrote.
func (e *end) Read(b []byte) (int, error) {
	w := e.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case w.broken:
			return 0, errReset
		case e.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case w.weather.stalled || e.mute:
		case len(e.inbound) > 0:
			if e.arrivedLocked() {
				return e.takeLocked(b), nil
			}
		case e.peer.closed:
			return 0, io.EOF
		}
		w.changed.Wait()
	}
}

// arrivedLocked reports whether the first parcel is there; if not, it sees to it
// that readers wake when it is.
func (e *end) arrivedLocked() bool {
	due := e.inbound[0].due
	left := time.Until(due)
	if left <= 0 {
		return true
	}
	if e.due == nil {
		e.due = time.AfterFunc(left, e.wire.wake)
	} else if !due.Equal(e.dueAt) {
		e.due.Reset(left)
	}
	e.dueAt = due
	return false
}

func (w *wire) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed.Broadcast()
}

func (e *end) takeLocked(b []byte) int {
	n := 0
	for n < len(b) && len(e.inbound) > 0 && (n == 0 || !e.inbound[0].due.After(time.Now())) {
		first := e.inbound[0].data[e.consumed:]
		k := copy(b[n:], first)
		n += k
		e.consumed += k
		if k == len(first) {
			e.inbound, e.consumed = e.inbound[1:], 0
		}
	}
	if full := e.size >= inFlightLimit; full {
		e.wire.changed.Broadcast()
	}
	e.size -= n
	return n
}

// Write puts b on its way.
func (e *end) Write(b []byte) (int, error) {
	var v verdict
	if e.judge != nil {
		v = e.judge(b)
	}
	if v.reset {
		e.wire.reset()
		return 0, errReset
	}
	w := e.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if v.mute {
		e.peer.mute = true
	}
	for {
		switch {
		case e.closed:
			return 0, net.ErrClosed
		case w.broken:
			return 0, errReset
		case e.writing.passed:
			return 0, os.ErrDeadlineExceeded
		case e.peer.closed && !w.weather.stalled:
			return 0, errBroken
		case e.peer.size < inFlightLimit:
			e.sendLocked(b, v.delay)
			return len(b), nil
		}
		w.changed.Wait()
	}
}

func (e *end) sendLocked(b []byte, delay time.Duration) {
	to, state := e.peer, e.wire.weather
	due := time.Now().Add(delay + state.delay)
	if due.Before(to.arrival) {
		due = to.arrival
	}
	if state.rate > 0 {
		due = due.Add(time.Duration(len(b)) * time.Second / time.Duration(state.rate))
	}
	to.arrival = due
	to.inbound = append(to.inbound, parcel{append([]byte(nil), b...), due})
	to.size += len(b)
	e.wire.changed.Broadcast()
}

// Close closes this end. What it wrote still arrives.
func (e *end) Close() error {
	w := e.wire
	w.mu.Lock()
	if e.closed {
		w.mu.Unlock()
		return net.ErrClosed
	}
	e.closed = true
	e.stopTimersLocked()
	w.changed.Broadcast()
	over := e.peer.closed
	w.mu.Unlock()
	if over {
		w.network.forget(w)
	}
	return nil
}

func (e *end) stopTimersLocked() {
	e.reading.stop()
	e.writing.stop()
	if e.due != nil {
		e.due.Stop()
	}
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error  { return e.set(&e.reading, t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.set(&e.writing, t) }

func (e *end) set(d *deadline, t time.Time) error {
	e.wire.mu.Lock()
	defer e.wire.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	d.set(e.wire, t)
	return nil
}

// deadline is when reading or writing fails. It belongs to the wire's lock.
type deadline struct {
	at     time.Time
	passed bool
	timer  *time.Timer
}

func (d *deadline) set(w *wire, t time.Time) {
	d.at = t
	d.passed = !t.IsZero() && !t.After(time.Now())
	switch {
	case t.IsZero() || d.passed:
		d.stop()
	case d.timer == nil:
		d.timer = time.AfterFunc(time.Until(t), func() { d.pass(w) })
	default:
		d.timer.Reset(time.Until(t))
	}
	if d.passed {
		w.changed.Broadcast()
	}
}

func (d *deadline) pass(w *wire) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !d.at.IsZero() && !d.at.After(time.Now()) {
		d.passed = true
		w.changed.Broadcast()
	}
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}
