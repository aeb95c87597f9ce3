package integration_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/server"
)

// proxy is a server in this process, on loopback.
type proxy struct {
	addr string
	stop func()
}

// proxyConfig is what tests change about a proxy.
type proxyConfig struct {
	server server.Config
	kafka  kafka.Options
	// wrap, if it is set, returns what the server gets in place of the backend.
	wrap func(broker.Broker) broker.Broker
}

// startProxy starts a proxy in front of a Kafka. It is drained when the test ends,
// or by stop.
func startProxy(t *testing.T, brokers []string, change func(*proxyConfig)) *proxy {
	t.Helper()
	cfg := proxyConfig{server: server.DefaultConfig(), kafka: kafka.Options{Brokers: brokers}}
	cfg.server.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	cfg.kafka.Logger = cfg.server.Logger.With("part", "kafka")
	cfg.kafka.SessionTimeout = 6 * time.Second
	if change != nil {
		change(&cfg)
	}
	backend, err := kafka.New(cfg.kafka)
	require.NoError(t, err)
	var seen broker.Broker = backend
	if cfg.wrap != nil {
		seen = cfg.wrap(backend)
	}
	srv, err := server.New(seen, cfg.server)
	require.NoError(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, lis) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-served)
		require.NoError(t, backend.Close())
	}
	t.Cleanup(stop)
	return &proxy{addr: lis.Addr().String(), stop: stop}
}

// connect returns an SDK client of a proxy.
func connect(t *testing.T, addr string, opts ...messageproxy.Option) *messageproxy.Client {
	t.Helper()
	client, err := messageproxy.NewClient(addr, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// rawClient returns the generated stubs, for what the SDK hides.
func rawClient(t *testing.T, addr string, opts ...grpc.DialOption) messageproxyv1.MessageProxyClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return messageproxyv1.NewMessageProxyClient(conn)
}
