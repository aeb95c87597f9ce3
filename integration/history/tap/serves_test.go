package tap_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
)

// A client of several servers may talk to another one on each stream.
func TestStreamsAreOfTheServerAtTheOtherEnd(t *testing.T) {
	s := newScene(t, loopback())
	defer s.stop()
	conn, err := grpc.NewClient(s.target, append(s.tap.ClientOptions("app", ""),
		grpc.WithContextDialer(s.dial), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // it was open
	for _, server := range []string{"one", "two"} {
		s.tap.Serves(s.target[len("passthrough:///"):], server)
		stream, err := messageproxyv1.NewMessageProxyClient(conn).Consume(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Send(subscribe("app")))
		response, err := stream.Recv()
		require.NoError(t, err)
		require.NotNil(t, response.GetSubscribed())
	}
	var servers []string
	for _, e := range of[history.Subscribed](s) {
		if e.Side == history.Client {
			servers = append(servers, e.Server)
		}
	}
	assert.Equal(t, []string{"one", "two"}, servers)
}
