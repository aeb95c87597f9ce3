package script

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
)

// windowBytes is how much a client can send on a stream that isn't read.
const windowBytes = 64 << 10

// Options are those of a Server. The zero value is a server that listens.
type Options struct {
	// Refusing has the address refuse connections until Listen.
	Refusing bool
	// Paused has streams not be read until they are resumed.
	Paused bool
	// TLS has connections use TLS, if it isn't nil.
	TLS *tls.Config
	// IP is the address to listen on, 127.0.0.1 by default, and Port the port, a free
	// one by default.
	IP   [4]byte
	Port int
}

// Server is a scripted message proxy. All methods are for the goroutine of its test,
// which they fail where they can't do what they say.
type Server struct {
	messageproxyv1.UnimplementedMessageProxyServer

	t       await.T
	paused  bool
	grpc    *grpc.Server
	port    *port
	serving sync.WaitGroup

	listener net.Listener // nil while refusing

	state       await.State
	connections []*Connection
	slamming    bool
	produces    []*ProduceStream
	consumes    []*ConsumeStream
	// How many of the streams AwaitProduce and AwaitConsume have returned.
	producesTaken, consumesTaken int
}

// NewServer starts a server; Close ends it.
func NewServer(t await.T, o Options) *Server {
	t.Helper()
	if o.IP == [4]byte{} {
		o.IP = [4]byte{127, 0, 0, 1}
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(64 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s := &Server{t: t, paused: o.Paused, grpc: grpc.NewServer(options...)}
	messageproxyv1.RegisterMessageProxyServer(s.grpc, s)
	var err error
	if s.port, err = newPort(o.IP, o.Port); err != nil {
		s.fatalf("the scripted server: %v", err)
	}
	if !o.Refusing {
		s.Listen()
	}
	return s
}

func (s *Server) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf(format, args...)
	s.t.FailNow()
}

// Addr is host:port, the target for clients.
func (s *Server) Addr() string { return s.port.String() }

// Port is the port of Addr.
func (s *Server) Port() int { return s.port.number }

// Listen accepts connections from now on.
func (s *Server) Listen() {
	s.t.Helper()
	l, err := s.port.listen()
	if err != nil {
		s.fatalf("the scripted server: %v", err)
	}
	s.listener = l
	s.serving.Go(func() { _ = s.grpc.Serve(&listener{l, s}) }) // ends with l
}

// Refuse refuses connections from now on; those that are there stay.
func (s *Server) Refuse() {
	s.t.Helper()
	_ = s.listener.Close() // nothing depends on it any more
	s.listener = nil
	if err := s.port.keep(); err != nil {
		s.fatalf("the scripted server: %v", err)
	}
}

// Slam closes new connections as soon as they are there, or not any more.
func (s *Server) Slam(slam bool) { s.state.Update(func() { s.slamming = slam }) }

// Pause has new streams begin paused, or not any more.
func (s *Server) Pause(pause bool) { s.state.Update(func() { s.paused = pause }) }

// CutConnections cuts all connections that there are.
func (s *Server) CutConnections() {
	for _, c := range s.Connections() {
		c.Cut()
	}
}

// Connections are all that ever came, the first first.
func (s *Server) Connections() []*Connection {
	var all []*Connection
	s.state.Look(func() { all = append(all, s.connections...) })
	return all
}

// AwaitConnections waits until so many connections have come, ever, and returns them.
func (s *Server) AwaitConnections(n int) []*Connection {
	s.t.Helper()
	s.state.Wait(s.t,
		func() string { return fmt.Sprintf("connection %d of a client; there were %d", n, len(s.connections)) },
		func() bool { return len(s.connections) >= n })
	return s.Connections()
}

// AwaitProduce waits for the next Produce stream of a client.
func (s *Server) AwaitProduce() *ProduceStream {
	s.t.Helper()
	return s.AwaitProduceWithin(await.Patience)
}

// AwaitProduceWithin is AwaitProduce with a deadline.
func (s *Server) AwaitProduceWithin(within time.Duration) *ProduceStream {
	s.t.Helper()
	s.state.WaitWithin(s.t, within,
		func() string {
			return fmt.Sprintf("Produce stream %d at %s; there were %d connections", s.producesTaken+1, s.Addr(), len(s.connections))
		},
		func() bool { return len(s.produces) > s.producesTaken })
	var p *ProduceStream
	s.state.Update(func() {
		p = s.produces[s.producesTaken]
		s.producesTaken++
	})
	return p
}

// AwaitConsume waits for the next Consume stream of a client.
func (s *Server) AwaitConsume() *ConsumeStream {
	s.t.Helper()
	return s.AwaitConsumeWithin(await.Patience)
}

// AwaitConsumeWithin is AwaitConsume with a deadline.
func (s *Server) AwaitConsumeWithin(within time.Duration) *ConsumeStream {
	s.t.Helper()
	s.state.WaitWithin(s.t, within,
		func() string {
			return fmt.Sprintf("Consume stream %d at %s; there were %d connections", s.consumesTaken+1, s.Addr(), len(s.connections))
		},
		func() bool { return len(s.consumes) > s.consumesTaken })
	var c *ConsumeStream
	s.state.Update(func() {
		c = s.consumes[s.consumesTaken]
		s.consumesTaken++
	})
	return c
}

// HasProduce reports whether AwaitProduce would return at once.
func (s *Server) HasProduce() bool {
	has := false
	s.state.Look(func() { has = len(s.produces) > s.producesTaken })
	return has
}

// HasConsume reports whether AwaitConsume would return at once.
func (s *Server) HasConsume() bool {
	has := false
	s.state.Look(func() { has = len(s.consumes) > s.consumesTaken })
	return has
}

// Streams is how many Produce and Consume streams there ever were.
func (s *Server) Streams() (produce, consume int) {
	s.state.Look(func() { produce, consume = len(s.produces), len(s.consumes) })
	return produce, consume
}

// Close ends everything.
func (s *Server) Close() {
	s.state.Update(func() { s.slamming = true })
	s.CutConnections() // frozen ones too, which gRPC would wait for
	s.grpc.Stop()
	s.serving.Wait()
	s.port.release()
}

// connection finds the connection of a stream.
func (s *Server) connection(p *peer.Peer) *Connection {
	var found *Connection
	s.state.Look(func() {
		for _, c := range s.connections { // the latest of an address that was used again
			if p != nil && c.RemoteAddr().String() == p.Addr.String() {
				found = c
			}
		}
	})
	return found
}
