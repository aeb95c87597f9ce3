package messageproxy_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	produceServer = grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]
	consumeServer = grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]
)

// bubble runs test in virtual time with a fake proxy and a client of it.
func bubble(t *testing.T, test func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client), opts ...messageproxy.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		client, err := server.NewClient(opts...)
		require.NoError(t, err)
		defer client.Close()
		test(t, server, client)
	})
}

// rawService is a service of which a test writes the streams itself.
type rawService struct {
	messageproxyv1.UnimplementedMessageProxyServer
	produce func(produceServer) error
	consume func(consumeServer) error
}

func (s *rawService) Produce(stream produceServer) error { return s.produce(stream) }
func (s *rawService) Consume(stream consumeServer) error { return s.consume(stream) }

// start serves s in memory until the test ends, and returns a client of it.
func (s *rawService) start(t *testing.T, opts ...messageproxy.Option) *messageproxy.Client {
	t.Helper()
	return s.startWith(t, nil, opts...)
}

func (s *rawService) startWith(t *testing.T, serverOpts []grpc.ServerOption, opts ...messageproxy.Option) *messageproxy.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	serverOpts = append(serverOpts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}))
	server := grpc.NewServer(serverOpts...)
	messageproxyv1.RegisterMessageProxyServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	dial := messageproxy.WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	}))
	client, err := messageproxy.NewClient("passthrough:///raw", append([]messageproxy.Option{dial}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = client.Close()
		server.Stop()
		serving.Wait()
	})
	return client
}

// gate is a network that is down until it is opened.
type gate struct {
	mu   sync.Mutex
	open bool
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// through returns the option that has a client of server connect through the
// gate.
func (g *gate) through(server *messageproxytest.Server) messageproxy.Option {
	return messageproxy.WithDialOptions(append(server.DialOptions(), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		if !open {
			return nil, errors.New("the network is down")
		}
		return server.DialContext(ctx)
	}))...)
}

// outcomes collects the outcomes of asynchronous messages.
type outcomes struct {
	mu   sync.Mutex
	errs []error
}

func (o *outcomes) callback(_ messageproxy.Receipt, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

func (o *outcomes) all() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]error{}, o.errs...)
}

// message is a message of topic "orders" with a key, so that all of a key are in
// one partition.
func message(key, value string) *messageproxy.Message {
	return &messageproxy.Message{Topic: "orders", Key: []byte(key), Value: []byte(value)}
}

func values(messages []*messageproxy.Message) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = string(m.Value)
	}
	return all
}
