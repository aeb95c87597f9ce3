package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// network is a network that a test can disturb: a relay in front of every address
// that is reached through it.
type network struct {
	t    *testing.T
	open sync.WaitGroup // goroutines

	mu      sync.Mutex
	relays  map[string]net.Listener // by the address behind
	conns   map[*connection]struct{}
	weather [2]weather    // of each direction
	changed chan struct{} // closed and replaced when the weather changes
	stopped bool
}

// direction is where bytes go.
type direction int

const (
	upstream   direction = iota // from those who dial to those who listen
	downstream                  // back
)

// weather is what happens to the bytes of one direction. The zero value is fair.
type weather struct {
	// held: nothing arrives until the weather changes, and then all of it does, as
	// after an outage that TCP outlasts: what its sender has long given up is
	// carried out late.
	held bool
	// swallowed: nothing arrives, ever, and nobody is told. Connections that lost
	// something break when the network heals.
	swallowed bool
	// Everything arrives after a delay, give or take some of the jitter.
	delay, jitter time.Duration
	// rate is how many bytes a second arrive on each connection, in pieces of 500.
	rate int
	// breaks: for those who dialled, a connection breaks after so many bytes, in the
	// middle of whatever that is. What they have sent before still arrives.
	breaks int
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{
		t: t, relays: make(map[string]net.Listener), conns: make(map[*connection]struct{}), changed: make(chan struct{}),
	}
	t.Cleanup(n.stop)
	return n
}

func (n *network) stop() {
	n.mu.Lock()
	n.stopped = true
	for _, relay := range n.relays {
		_ = relay.Close()
	}
	n.mu.Unlock()
	n.cut()
	n.open.Wait()
}

// through returns the address by which a target is reached through the network.
func (n *network) through(target string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	relay, ok := n.relays[target]
	if !ok {
		var err error
		if relay, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			n.t.Errorf("no way through the network to %s: %v", target, err)
			return target
		}
		n.relays[target] = relay
		n.open.Go(func() { n.accept(relay, target) })
	}
	return relay.Addr().String()
}

// dial dials through the network. It is for clients that learn the addresses that
// they dial from the other side, as Kafka's do.
func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, kind, n.through(address))
}

// disturb changes the weather of each direction.
func (n *network) disturb(up, down weather) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setLocked(up, down)
}

func (n *network) setLocked(up, down weather) {
	n.weather = [2]weather{up, down}
	close(n.changed)
	n.changed = make(chan struct{})
}

// heal ends every disturbance.
func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.setLocked(weather{}, weather{})
	for c := range n.conns {
		if c.lossy {
			c.reset()
		}
	}
}

// cut resets all connections: what is under way is lost. It returns how many there
// were.
func (n *network) cut() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.reset()
	}
	return len(n.conns)
}

// hangUp breaks all connections for those who dialled. What they have sent before
// still arrives, but later, even if the network heals: after what they send on their
// next connection, perhaps.
func (n *network) hangUp(later time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.later = later
		c.breakNear()
	}
}

func (c *connection) look(d direction) (w weather, later time.Duration, changed <-chan struct{}) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	return c.n.weather[d], c.later, c.n.changed
}

func (n *network) accept(relay net.Listener, target string) {
	for {
		near, err := relay.Accept()
		if err != nil {
			return // stopped
		}
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		n.connect(near.(*net.TCPConn), far.(*net.TCPConn))
	}
}

func (n *network) connect(near, far *net.TCPConn) {
	c := &connection{n: n, ends: [2]*net.TCPConn{near, far}, closed: make(chan struct{})}
	n.mu.Lock()
	n.conns[c] = struct{}{}
	if n.stopped {
		c.reset()
	}
	n.mu.Unlock()
	n.open.Go(func() {
		var directions sync.WaitGroup
		directions.Go(func() { c.carry(upstream, near, far) })
		directions.Go(func() { c.carry(downstream, far, near) })
		directions.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		c.reset() // nothing is left to be lost
		delete(n.conns, c)
	})
}

// connection is one that goes through a network, whose mu guards it.
type connection struct {
	n      *network
	ends   [2]*net.TCPConn
	lossy  bool
	later  time.Duration // how much later everything arrives
	broken bool
	closed chan struct{} // when it is broken

	read, handedOn [2]atomic.Int64 // bytes, of each direction
}

// String says what the network does, and what it has not handed on.
func (n *network) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "up %+v, down %+v", n.weather[upstream], n.weather[downstream])
	for c := range n.conns {
		fmt.Fprintf(&b, "\n  %v: %d of %d bytes up, %d of %d down, later by %v, lossy %t, broken %t", c.ends[0].RemoteAddr(),
			c.handedOn[upstream].Load(), c.read[upstream].Load(), c.handedOn[downstream].Load(), c.read[downstream].Load(),
			c.later, c.lossy, c.broken)
	}
	return b.String()
}

// reset breaks the connection, both ways and for both sides.
func (c *connection) reset() {
	if c.broken {
		return
	}
	c.broken = true
	close(c.closed)
	for _, end := range c.ends {
		_ = end.SetLinger(0)
		_ = end.Close()
	}
}

// breakNear breaks the connection for those who dialled alone.
func (c *connection) breakNear() {
	near := c.ends[0]
	_ = near.SetLinger(0)
	_ = near.Close()
}

// chunk is what was read at once.
type chunk struct {
	bytes []byte
	at    time.Time
	luck  float64 // of its jitter, from -1 to 1
}

// carry moves bytes in one direction until their source ends, and everything
// before has arrived. What has no receiver any more is lost; what has no sender any
// more arrives all the same.
func (c *connection) carry(d direction, from, to *net.TCPConn) {
	const underWay = 4096 // chunks; what is more waits with the sender, as in TCP
	chunks := make(chan chunk, underWay)
	go func() {
		defer close(chunks)
		c.receive(d, from, chunks)
	}()
	passed, alive := 0, true
	for next := range chunks {
		alive = alive && c.deliver(d, next, to, &passed)
	}
	_ = to.CloseWrite() // fails if it is broken
}

func (c *connection) receive(d direction, from io.Reader, chunks chan<- chunk) {
	buffer := make([]byte, 16<<10)
	for {
		count, err := from.Read(buffer)
		if err != nil {
			return
		}
		c.read[d].Add(int64(count))
		select {
		case chunks <- chunk{bytes.Clone(buffer[:count]), time.Now(), 2*rand.Float64() - 1}:
		case <-c.closed:
			return
		}
	}
}

// deliver hands on a chunk, or loses it, as the weather will. It returns false when
// nobody receives any more. passed counts the bytes towards the next break.
func (c *connection) deliver(d direction, next chunk, to io.Writer, passed *int) bool {
	w := c.await(d, next)
	if w.swallowed {
		return c.lose(d)
	}
	rest := next.bytes
	for len(rest) > 0 {
		piece := rest
		if w.rate > 0 {
			piece = rest[:min(len(rest), 500)]
			c.pause(time.Duration(len(piece)) * time.Second / time.Duration(w.rate))
		}
		if w.breaks > 0 {
			if *passed += len(piece); *passed > w.breaks {
				c.breakNear()
				return false
			}
		}
		if _, err := to.Write(piece); err != nil {
			return false
		}
		c.handedOn[d].Add(int64(len(piece)))
		rest = rest[len(piece):]
		w, _, _ = c.look(d)
	}
	return true
}

// lose notes that the connection has lost something. If the network has healed since
// it swallowed that, the connection breaks now: nobody else would break it, and its
// two sides would go on without what is missing. It returns false when it is broken.
func (c *connection) lose(d direction) bool {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	c.lossy = true
	if !c.n.weather[d].swallowed {
		c.reset()
	}
	return !c.broken
}

// await waits until a chunk may arrive, and returns the weather.
func (c *connection) await(d direction, next chunk) weather {
	for {
		w, later, changed := c.look(d)
		delay := w.delay + later + time.Duration(next.luck*float64(w.jitter)) - time.Since(next.at)
		if w.swallowed || !w.held && (w.delay+later == 0 || delay <= 0) {
			return w
		}
		if w.held {
			delay = time.Hour
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-changed:
		case <-c.closed:
			timer.Stop()
			return w
		}
		timer.Stop()
	}
}

// pause takes the time that a piece takes, unless the weather changes meanwhile.
func (c *connection) pause(d time.Duration) {
	_, _, changed := c.look(upstream)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-c.closed:
	}
}
