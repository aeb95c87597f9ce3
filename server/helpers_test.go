package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeBroker answers pings as it is told and has a producer that does nothing.
type fakeBroker struct {
	broker.Broker
	producerErr error

	mu      sync.Mutex
	pingErr error
	pings   int
	closed  int // producers closed
}

func (b *fakeBroker) setPing(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pingErr = err
}

func (b *fakeBroker) Ping(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pings++
	if errors.Is(b.pingErr, errPanic) {
		panic("a bug in pinging")
	}
	return b.pingErr
}

func (b *fakeBroker) NewProducer(context.Context, broker.ProducerOptions) (broker.Producer, error) {
	if b.producerErr != nil {
		return nil, b.producerErr
	}
	return &fakeProducer{broker: b}, nil
}

func (b *fakeBroker) closedProducers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

type fakeProducer struct {
	broker.Producer
	broker *fakeBroker
}

func (p *fakeProducer) Close() error {
	p.broker.mu.Lock()
	defer p.broker.mu.Unlock()
	p.broker.closed++
	return nil
}

// fakeSide serves streams by a function until it drains.
type fakeSide[S grpc.ServerStream] struct {
	// handle serves a stream; draining is closed when the side is to drain.
	handle func(stream S, draining <-chan struct{}) error
	// handling has a value for each stream that has come.
	handling chan struct{}
	// holdDrain: Drain waits for it or for the end of its context.
	holdDrain chan struct{}

	draining chan struct{}
}

func newFakeSide[S grpc.ServerStream](handle func(S, <-chan struct{}) error) *fakeSide[S] {
	return &fakeSide[S]{handle: handle, handling: make(chan struct{}, 100), draining: make(chan struct{})}
}

func (s *fakeSide[S]) Handle(stream S) error {
	s.handling <- struct{}{}
	return s.handle(stream, s.draining)
}

func (s *fakeSide[S]) Drain(ctx context.Context) error {
	close(s.draining)
	if s.holdDrain == nil {
		return nil
	}
	select {
	case <-s.holdDrain:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilDrain is a handler that ends when the side drains or the client goes.
func untilDrain[S grpc.ServerStream](stream S, draining <-chan struct{}) error {
	select {
	case <-draining:
		return nil
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

type (
	produceStream = messageproxyv1.MessageProxy_ProduceServer
	consumeStream = messageproxyv1.MessageProxy_ConsumeServer
)

// fixture is a server over a fakeBroker and fake sides. Set what the test needs,
// then start it.
type fixture struct {
	t      *testing.T
	broker *fakeBroker
	// real is set for a server of the true sides, over this broker.
	real    *membroker.Broker
	produce *fakeSide[produceStream]
	consume *fakeSide[consumeStream]
	cfg     Config
	logs    *logRecorder

	listen func(ctx context.Context, addr string) (net.Conn, error) // dials the listener
	lis    net.Listener
	creds  credentials.TransportCredentials // of clients
	server *Server
	stop   context.CancelFunc
	served chan error
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		t: t, creds: insecure.NewCredentials(), broker: &fakeBroker{}, cfg: DefaultConfig(), logs: &logRecorder{},
		produce: newFakeSide(untilDrain[produceStream]),
		consume: newFakeSide(untilDrain[consumeStream]),
		served:  make(chan error, 1),
	}
	f.cfg.Logger = slog.New(slog.NewJSONHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return f
}

// onBufconn has the server listen in memory.
func (f *fixture) onBufconn() *fixture {
	lis := bufconn.Listen(1 << 20)
	f.lis = lis
	f.listen = func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }
	return f
}

// onTCP has the server listen on a port.
func (f *fixture) onTCP() *fixture {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f.t, err)
	f.lis = lis
	f.listen = func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", lis.Addr().String())
	}
	return f
}

func (f *fixture) start() *fixture {
	s := f.newServer()
	ctx, stop := context.WithCancel(context.Background())
	f.server, f.stop = s, stop
	go func() { f.served <- s.Serve(ctx, f.lis) }()
	return f
}

func (f *fixture) newServer() *Server {
	if f.real != nil {
		s, err := New(f.real, f.cfg)
		require.NoError(f.t, err)
		return s
	}
	s, err := New(f.broker, f.cfg)
	require.NoError(f.t, err)
	s.makeProxy = func(broker.Broker, broker.Producer, Config) *proxy {
		return &proxy{produce: f.produce, consume: f.consume}
	}
	return s
}

// drain stops the server and returns what Serve returned.
func (f *fixture) drain() error {
	f.stop()
	return <-f.served
}

func (f *fixture) dial(options ...grpc.DialOption) *grpc.ClientConn {
	options = append(options, grpc.WithContextDialer(f.listen), grpc.WithTransportCredentials(f.creds))
	conn, err := grpc.NewClient("passthrough:///server", options...)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (f *fixture) client() messageproxyv1.MessageProxyClient { return f.clientOn(f.dial()) }

func (f *fixture) clientOn(conn *grpc.ClientConn) messageproxyv1.MessageProxyClient {
	return messageproxyv1.NewMessageProxyClient(conn)
}

// logRecorder keeps the log, a JSON object a line.
type logRecorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *logRecorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

// withMessage returns the records with this message, oldest first.
func (r *logRecorder) withMessage(t *testing.T, message string) []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []map[string]any
	for line := range bytes.Lines(r.buf.Bytes()) {
		record := make(map[string]any)
		require.NoError(t, json.Unmarshal(line, &record))
		if record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

var (
	errDown  = errors.New("connection refused")
	errPanic = errors.New("a fakeBroker panics")
)
