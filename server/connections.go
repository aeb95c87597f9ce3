package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// connections knows the client connections of one gRPC server, from accepting
// them to their end, and which of them a stream runs on. gRPC itself tells a
// handler only addresses, which are not unique (all connections of a bufconn
// have the same), and has no way to close one connection: but a client that has
// stopped reading can be got rid of in no other way, because its stream's final
// status waits behind the data that it doesn't read.
//
// It is the server's stats.Handler, and the owner of open and refusing.
type connections struct {
	mu   sync.Mutex
	open map[*connection]struct{}
	// refusing: connections that come now are closed at once.
	refusing bool
}

var _ stats.Handler = (*connections)(nil)

func newConnections() *connections {
	return &connections{open: make(map[*connection]struct{})}
}

// connection is one accepted connection.
type connection struct {
	net.Conn
	owner *connections
	local *connectionAddr
	// greeted: the connection speaks HTTP/2; gRPC has taken it over.
	greeted atomic.Bool
	live    atomic.Int64 // streams, see countStream
}

// connectionAddr is a connection's local address. gRPC hands it from the
// connection to TagConn, also through TLS, and so says which connection it is
// talking about.
type connectionAddr struct {
	net.Addr
	connection *connection
}

// LocalAddr returns the address of the server's end.
func (c *connection) LocalAddr() net.Addr { return c.local }

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
	refusing := cs.refusing
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
// said anything yet. gRPC tells nobody that it is stopping while a connection's
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

type connectionKey struct{}

func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
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

// TagConn puts the connection into the context of all its calls.
func (cs *connections) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	addr, ok := info.LocalAddr.(*connectionAddr)
	if !ok {
		return ctx
	}
	addr.connection.greeted.Store(true)
	return context.WithValue(ctx, connectionKey{}, addr.connection)
}

// HandleConn needs nothing: Close says when a connection ends.
func (cs *connections) HandleConn(context.Context, stats.ConnStats) {}

// TagRPC needs nothing: a call's context comes from its connection's.
func (cs *connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC needs nothing: countStream counts.
func (cs *connections) HandleRPC(context.Context, stats.RPCStats) {}
