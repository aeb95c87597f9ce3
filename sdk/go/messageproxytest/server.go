package messageproxytest

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// DefaultPartitions is how many partitions a topic has unless CreateTopic says
// otherwise.
const DefaultPartitions = 4

// Server is an in-memory message proxy. Make one with NewServer. All methods may
// be called concurrently. Its mu guards the state of all streams; no stream sends
// or receives while it holds it.
type Server struct {
	messageproxyv1.UnimplementedMessageProxyServer

	grpc     *grpc.Server
	memory   *bufconn.Listener
	serving  sync.WaitGroup
	closeOne sync.Once

	mu            sync.Mutex
	topics        map[string]*topic
	subscriptions map[string]*subscription
	produces      map[*produceStream]struct{}
	connections   map[net.Conn]struct{}
	// changed is closed, and replaced, whenever something may have changed that
	// someone waits for.
	changed chan struct{}
	// refusal ends new streams, if not nil.
	refusal *messageproxy.Error
	// script decides about produced messages, if not nil.
	script func(*messageproxy.Message) error
	// holding: produced messages wait.
	holding bool
}

// NewServer starts a server. Close it when done.
func NewServer() *Server {
	s := &Server{
		grpc: grpc.NewServer(
			grpc.MaxRecvMsgSize(math.MaxInt32),
			grpc.MaxSendMsgSize(math.MaxInt32),
			// As the real one does; gRPC's default ends connections with clients that ping.
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		),
		memory:        bufconn.Listen(1 << 20),
		topics:        map[string]*topic{},
		subscriptions: map[string]*subscription{},
		produces:      map[*produceStream]struct{}{},
		connections:   map[net.Conn]struct{}{},
		changed:       make(chan struct{}),
	}
	messageproxyv1.RegisterMessageProxyServer(s.grpc, s)
	s.serve(s.memory)
	return s
}

func (s *Server) serve(listener net.Listener) {
	s.serving.Go(func() { _ = s.grpc.Serve(&cuttableListener{listener, s}) }) // ends with Close
}

// Close ends all streams and the server. It may be called twice.
func (s *Server) Close() {
	s.closeOne.Do(s.grpc.Stop)
	s.serving.Wait()
}

// NewClient returns a client of the server; the caller closes it.
func (s *Server) NewClient(opts ...messageproxy.Option) (*messageproxy.Client, error) {
	opts = append([]messageproxy.Option{messageproxy.WithDialOptions(s.DialOptions()...)}, opts...)
	return messageproxy.NewClient(s.Target(), opts...)
}

// Target is the target for messageproxy.NewClient, together with DialOptions.
func (s *Server) Target() string { return "passthrough:///messageproxytest" }

// DialOptions lead to the server without a network. Give them to
// messageproxy.WithDialOptions, or to grpc.NewClient.
func (s *Server) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.DialContext(ctx) }),
	}
}

// DialContext opens a connection to the server, for dialers of a test's own.
func (s *Server) DialContext(ctx context.Context) (net.Conn, error) { return s.memory.DialContext(ctx) }

// ListenLoopback has the server listen on a free port of 127.0.0.1 too, for
// clients in other processes, and returns its address.
func (s *Server) ListenLoopback() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.serve(listener)
	return listener.Addr().String(), nil
}

// await waits until condition, which is called with the lock held, is true.
func (s *Server) await(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := condition(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// changedLocked wakes everyone who waits for a change.
func (s *Server) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// cuttableListener remembers its connections.
type cuttableListener struct {
	net.Listener
	server *Server
}

func (l *cuttableListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn = &cuttableConn{conn, l.server}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.connections[conn] = struct{}{}
	return conn, nil
}

type cuttableConn struct {
	net.Conn
	server *Server
}

// Close forgets the connection.
func (c *cuttableConn) Close() error {
	c.server.mu.Lock()
	delete(c.server.connections, c)
	c.server.mu.Unlock()
	return c.Conn.Close()
}
