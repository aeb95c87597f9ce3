package kafkatest

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// Dial is how a Kafka client opens connections; give it to kgo.Dialer.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Network is the network between clients and a Kafka cluster, which a test can
// cut, and whose answers to produced messages it can lose. Its methods may be
// called concurrently.
type Network struct {
	dial Dial

	mu    sync.Mutex
	cut   bool
	lossy bool
	conns map[*conn]struct{}
}

// NewNetwork makes a network over TCP, or over dial if that isn't nil.
func NewNetwork(dial Dial) *Network {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &Network{dial: dial, conns: make(map[*conn]struct{})}
}

var errCut = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// Dial opens a connection, unless the network is cut.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Err: errCut}
	if n.isCut() {
		return nil, refused
	}
	under, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: under, n: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		_ = under.Close()
		return nil, refused
	}
	n.conns[c] = struct{}{}
	return c, nil
}

func (n *Network) isCut() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut
}

// SetReachable cuts every connection and refuses new ones, or ends that.
func (n *Network) SetReachable(reachable bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = !reachable
	if n.cut {
		n.closeLocked(func(*conn) bool { return true })
	}
}

// LoseProduceAnswers swallows the brokers' answers to produced messages, or ends
// that and breaks the connections on which something was swallowed.
func (n *Network) LoseProduceAnswers(lose bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lossy = lose
	if !lose {
		n.closeLocked(func(c *conn) bool { return c.produces.Load() })
	}
}

func (n *Network) closeLocked(which func(*conn) bool) {
	for c := range n.conns {
		if which(c) {
			_ = c.Conn.Close()
			delete(n.conns, c)
		}
	}
}

func (n *Network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

func (n *Network) swallows(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lossy && c.produces.Load()
}

// conn is a connection of a Network. The client library has a connection of its
// own for produce requests.
type conn struct {
	net.Conn
	n        *Network
	produces atomic.Bool
}

func (c *conn) Write(b []byte) (int, error) {
	const length, produce = 4, 0 // a request's key comes after its length
	if len(b) >= length+2 && b[length] == produce && b[length+1] == produce {
		c.produces.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.n.swallows(c) {
			return n, err
		}
	}
}

func (c *conn) Close() error {
	c.n.forget(c)
	return c.Conn.Close()
}

var errNoTopic = errors.New("the topic doesn't exist")
