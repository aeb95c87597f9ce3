package bare_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/messageproxy/messageproxy/tools/bench/bare"
	"github.com/messageproxy/messageproxy/tools/bench/load"
)

// serve starts a bare server, and returns its address.
func serve(t *testing.T, options bare.Options) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	bare.Register(server, options)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// The clients check that every message has its receipt, and comes in order.
func TestClientsOfTheStubsGetWhatTheyAskFor(t *testing.T) {
	for _, kind := range []load.Kind{load.StreamProduce, load.StreamConsume} {
		t.Run(string(kind), func(t *testing.T) {
			const clients = 3
			result, err := load.Run(t.Context(), load.Spec{
				Kind: kind, Target: serve(t, bare.Options{Frame: 100, Window: 1000, ValueBytes: 50}),
				Topic: "orders", Subscription: "billing", Partitions: clients * bare.PartitionsPerStream,
				Clients: clients, ValueBytes: 50, Warmup: 1000, Messages: 10_000,
				Outstanding: 1000, Frame: 100, Timeout: time.Minute,
			})
			require.NoError(t, err)
			assert.InDelta(t, 10_000, result.Messages, 1000, "it begins and ends within a frame, or what gathered")
			assert.GreaterOrEqual(t, result.Done, int64(11_000))
			assert.Zero(t, result.Repeated)
			assert.Positive(t, result.Rate())
		})
	}
}
