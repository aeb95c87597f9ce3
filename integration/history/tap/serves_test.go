package tap_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
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

// Kafka knows positions by the topic's name, whichever topic they are of.
func TestPositionsAreOfTheTopicTheyAreNotedFor(t *testing.T) {
	s := newScene(t, loopback())
	defer s.stop()
	require.NoError(t, s.tap.ReadTopics(t.Context(), s.kafka, topic))
	var at kadm.Offsets
	at.Add(kadm.Offset{Topic: topic, At: 5, LeaderEpoch: -1, Metadata: "somebody's"})
	at.Add(kadm.Offset{Topic: topic, Partition: 1, At: 6, LeaderEpoch: -1, Metadata: "messageproxy: topic=AQEBAQEBAQEBAQEBAQEBAQ"})
	require.NoError(t, s.admin.CommitAllOffsets(t.Context(), subscription, at))
	require.NoError(t, s.tap.ReadPositions(t.Context(), s.admin, subscription))
	assert.Equal(t, []history.PositionRead{
		{Subscription: subscription, Partition: on(0), Position: 5},
		{Subscription: subscription, Partition: history.Partition{Topic: topic + "#2", Number: 1}, Position: 6},
	}, of[history.PositionRead](s))
}
