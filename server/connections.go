package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/peer"
)

// connections knows the client connections of one gRPC server, from accepting
// them to their end, and which of them a stream runs on. gRPC itself tells a
// handler only addresses, which are not unique (all connections of a bufconn
// have the same), and has no way to close one connection: but a client that has
// stopped reading can be got rid of in no other way, because its stream's final
// status waits behind the data that it doesn't read.
//
// It owns open and refusing.
type connections struct {
	max int // of them; those that come above it are closed

	mu   sync.Mutex
	open map[*connection]struct{}
	// refusing: connections that come now are closed at once.
	refusing bool
}

func newConnections(most int) *connections {
	return &connections{max: most, open: make(map[*connection]struct{})}
}

// connection is one accepted connection.
type connection struct {
	net.Conn
	owner *connections
	local *connectionAddr
	// heard is how many bytes have come, up to lenGreeting. Only Read uses it, which
	// one goroutine calls at a time.
	heard int
	// greeted: the client has sent the greeting of HTTP/2, or as many bytes of TLS.
	greeted atomic.Bool
	live    atomic.Int64 // streams, see countStream
}

// lenGreeting is the length of the client connection preface of RFC 9113, section
// 3.4.
const lenGreeting = 24

// connectionAddr is a connection's local address. gRPC puts what LocalAddr returns
// into the context of every stream (as the peer's LocalAddr), also through TLS,
// and so says which connection the stream runs on.
type connectionAddr struct {
	net.Addr
	connection *connection
}

// LocalAddr returns the address of the server's end.
func (c *connection) LocalAddr() net.Addr { return c.local }

// Read reads what the client sends.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.heard < lenGreeting {
		if c.heard += n; c.heard >= lenGreeting {
			c.greeted.Store(true)
		}
	}
	return n, err
}

// Close closes the connection and forgets it.
func (c *connection) Close() error {
	c.owner.forget(c)
	return c.Conn.Close()
}

// trackingListener makes a connection of everything that is accepted.
type trackingListener struct {
	net.Listener
	connections *connections
}

func (cs *connections) track(lis net.Listener) net.Listener {
	return trackingListener{Listener: lis, connections: cs}
}

// Accept waits for the next connection.
func (l trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.connections.add(conn), nil
}

func (cs *connections) add(conn net.Conn) *connection {
	c := &connection{Conn: conn, owner: cs}
	c.local = &connectionAddr{Addr: conn.LocalAddr(), connection: c}
	cs.mu.Lock()
	refusing := cs.refusing || len(cs.open) >= cs.max
	cs.open[c] = struct{}{}
	cs.mu.Unlock()
	if refusing {
		_ = c.Close()
	}
	return c
}

func (cs *connections) forget(c *connection) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
}

// refuse closes every connection that comes from now on and those that have not
// greeted yet. gRPC tells nobody that it is stopping while a connection's
// handshake is under way, and one that stays silent would hold that up for
// minutes.
func (cs *connections) refuse() {
	cs.mu.Lock()
	cs.refusing = true
	var silent []*connection
	for c := range cs.open {
		if !c.greeted.Load() {
			silent = append(silent, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range silent {
		_ = c.Close()
	}
}

// connectionOf returns the connection of a stream's context, or nil.
func connectionOf(streamCtx context.Context) *connection {
	p, ok := peer.FromContext(streamCtx)
	if !ok {
		return nil
	}
	addr, ok := p.LocalAddr.(*connectionAddr)
	if !ok {
		return nil
	}
	return addr.connection
}

// closeConnection closes the connection that the stream of this context runs (or
// ran) on, with all its streams, and reports whether it knew it.
func closeConnection(streamCtx context.Context) bool {
	c := connectionOf(streamCtx)
	if c == nil {
		return false
	}
	_ = c.Close() // closing it is all that can be done for it
	return true
}

// countStream counts a stream as live on its connection until end is called.
func countStream(streamCtx context.Context) (end func()) {
	c := connectionOf(streamCtx)
	if c == nil {
		return func() {}
	}
	c.live.Add(1)
	return func() { c.live.Add(-1) }
}

// liveStreams is how many of the proxy's own streams have a running handler on the
// connection that the stream of this context runs on, itself included. Those of
// health and reflection don't count: they keep no work from anybody.
func liveStreams(streamCtx context.Context) int {
	c := connectionOf(streamCtx)
	if c == nil {
		return 0
	}
	return int(c.live.Load())
}

// count is how many connections are open.
func (cs *connections) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}
