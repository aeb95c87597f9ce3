//go:build synctests

package kafka

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// wire is the network between a consumer and the cluster, which a test can cut or
// freeze. A frozen network takes everything that is written and delivers it, in
// both directions, when it is thawed: so does a Kafka broker that is suspended.
type wire struct {
	e *env

	mu     sync.Mutex
	down   bool
	frozen string        // the suffix of the addresses that are frozen; empty: none
	thawed chan struct{} // closed when nothing is frozen
	conns  []*wireConn
}

func newWire(e *env) *wire {
	w := &wire{e: e, thawed: make(chan struct{})}
	close(w.thawed)
	return w
}

// over makes a consumer use the wire.
func over(w *wire) func(*Options, *broker.ConsumerOptions) {
	return func(o *Options, _ *broker.ConsumerOptions) {
		o.ClientOptions = append(o.ClientOptions, kgo.Dialer(w.dial))
	}
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	conn, err := w.e.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &wireConn{
		Conn: conn, wire: w, address: address,
		output: make(chan []byte, 1000), closed: make(chan struct{}), rearmed: make(chan struct{}, 1),
	}
	go c.write()
	w.conns = append(w.conns, c)
	return c, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, conn := range w.conns {
		_ = conn.Conn.Close()
	}
	w.conns = nil
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

// freeze freezes the brokers whose address ends in suffix.
func (w *wire) freeze(suffix string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen, w.thawed = suffix, make(chan struct{})
}

func (w *wire) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != "" {
		w.frozen = ""
		close(w.thawed)
	}
}

// passable is closed when data may pass to or from the address.
func (w *wire) passable(address string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != "" && strings.HasSuffix(address, w.frozen) {
		return w.thawed
	}
	done := make(chan struct{})
	close(done)
	return done
}

type wireConn struct {
	net.Conn
	wire    *wire
	address string
	output  chan []byte
	once    sync.Once
	closed  chan struct{}

	mu       sync.Mutex
	deadline time.Time
	rearmed  chan struct{} // the read deadline changed
}

func (c *wireConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *wireConn) Write(b []byte) (int, error) {
	select {
	case c.output <- append([]byte(nil), b...):
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *wireConn) write() {
	for {
		select {
		case <-c.closed:
			return
		case b := <-c.output:
			select {
			case <-c.wire.passable(c.address):
				_, _ = c.Conn.Write(b)
			case <-c.closed:
				return
			}
		}
	}
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	if err := c.await(c.wire.passable(c.address)); err != nil {
		return 0, err
	}
	return n, nil
}

// await waits for the wire, the deadline or the end of the connection.
func (c *wireConn) await(passable <-chan struct{}) error {
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

func (c *wireConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	signal(c.rearmed)
	return c.Conn.SetReadDeadline(t)
}

func (c *wireConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.Conn.SetDeadline(t)
}

func (c *wireConn) SetWriteDeadline(time.Time) error { return nil }
