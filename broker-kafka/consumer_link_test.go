//go:build synctests

package kafka

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// link is the network between a consumer and the cluster, which a test can cut or
// freeze. A frozen network takes everything that is written and delivers it, in
// both directions, when it is thawed: so does a Kafka broker that is suspended.
type link struct {
	network *kfake.VirtualNetwork

	mu      sync.Mutex
	down    bool
	frozen  string        // a part of the addresses that are frozen; empty: none
	thawed  chan struct{} // closed when nothing is frozen
	answers bool          // only the answers to produce requests are frozen
	conns   []*linkConn
}

func newLink(e *env) *link {
	w := &link{network: e.network, thawed: make(chan struct{})}
	close(w.thawed)
	return w
}

// over makes a consumer use the wire.
func over(w *link) func(*Options, *broker.ConsumerOptions) {
	return func(o *Options, _ *broker.ConsumerOptions) {
		o.ClientOptions = append(o.ClientOptions, kgo.Dialer(w.dial))
	}
}

func (w *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	conn, err := w.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &linkConn{
		Conn: conn, link: w, address: address,
		output: make(chan []byte, 1000), closed: make(chan struct{}), reset: make(chan struct{}), rearmed: make(chan struct{}, 1),
	}
	go c.write()
	w.conns = append(w.conns, c)
	return c, nil
}

func (w *link) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, conn := range w.conns {
		close(conn.reset)
		_ = conn.Conn.Close()
	}
	w.conns = nil
}

func (w *link) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// freeze freezes the brokers whose address has the part.
func (w *link) freeze(part string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen, w.thawed, w.answers = part, make(chan struct{}), false
}

// loseAnswers freezes the answers to produce requests.
func (w *link) loseAnswers() {
	w.freeze(":")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = true
}

func (w *link) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != "" {
		w.frozen = ""
		close(w.thawed)
	}
}

// passable is closed when data may pass to (or from) the cluster.
func (w *link) passable(c *linkConn, to bool) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != "" && strings.Contains(c.address, w.frozen) && (!w.answers || !to && c.produce.Load()) {
		return w.thawed
	}
	done := make(chan struct{})
	close(done)
	return done
}

type linkConn struct {
	net.Conn
	link    *link
	address string
	output  chan []byte
	once    sync.Once
	closed  chan struct{}
	reset   chan struct{} // closed when the cluster ended the connection
	produce atomic.Bool   // messages are stored through it

	mu       sync.Mutex
	deadline time.Time
	rearmed  chan struct{} // the read deadline changed
}

func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}

func (c *linkConn) Write(b []byte) (int, error) {
	if len(b) > 6 && b[4] == 0 && b[5] == 0 { // the key of produce requests, after the length
		c.produce.Store(true)
	}
	select {
	case <-c.reset:
		return 0, errReset
	case c.output <- append([]byte(nil), b...):
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *linkConn) write() {
	for {
		select {
		case <-c.closed:
			return
		case b := <-c.output:
			select {
			case <-c.link.passable(c, true):
				_, _ = c.Conn.Write(b)
			case <-c.closed:
				return
			}
		}
	}
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && isClosed(c.reset) {
		return n, errReset
	}
	if err != nil {
		return n, err
	}
	if err := c.await(c.link.passable(c, false)); err != nil {
		return 0, err
	}
	return n, nil
}

// await waits for the wire, the deadline or the end of the connection.
func (c *linkConn) await(passable <-chan struct{}) error {
	for {
		c.mu.Lock()
		timeout := time.NewTimer(time.Hour)
		if !c.deadline.IsZero() {
			timeout.Reset(time.Until(c.deadline))
		}
		c.mu.Unlock()
		select {
		case <-passable:
			timeout.Stop()
			return nil
		case <-c.closed:
			timeout.Stop()
			return net.ErrClosed
		case <-c.rearmed:
			timeout.Stop()
		case <-timeout.C:
			return os.ErrDeadlineExceeded
		}
	}
}

func (c *linkConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	signal(c.rearmed)
	return c.Conn.SetReadDeadline(t)
}

func (c *linkConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.Conn.SetDeadline(t)
}

func (c *linkConn) SetWriteDeadline(time.Time) error { return nil }
