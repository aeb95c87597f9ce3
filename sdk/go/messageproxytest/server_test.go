package messageproxytest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw opens a Consume stream without the SDK.
func raw(t *testing.T, server *messageproxytest.Server, topics ...string) grpc.BidiStreamingClient[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse] {
	t.Helper()
	conn, err := grpc.NewClient(server.Target(), server.DialOptions()...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := messageproxyv1.NewMessageProxyClient(conn).Consume(t.Context())
	require.NoError(t, err)
	subscribe := &messageproxyv1.SubscribeRequest{Subscription: "s", Topics: topics}
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Subscribe{Subscribe: subscribe}}))
	return stream
}

func TestMembersShareAndWhatOneHeldIsDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		client, err := server.NewClient()
		require.NoError(t, err)
		defer client.Close()
		var shares sync.Map
		start := func(name string) (context.CancelFunc, chan error) {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- client.Subscription("s", "orders").Consume(ctx, func(ctx context.Context, m *messageproxy.Message) error {
					if name == "slow" {
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				}, messageproxy.WithDrainTimeout(0), messageproxy.WithObserver(func(e messageproxy.Event) {
					if e.Kind == messageproxy.EventAssigned {
						shares.Store(name, len(e.Partitions))
					}
				}))
			}()
			return cancel, done
		}
		stopSlow, slowDone := start("slow")
		synctest.Wait()
		stopFast, fastDone := start("fast")
		synctest.Wait()
		for _, name := range []string{"slow", "fast"} {
			share, _ := shares.Load(name)
			assert.Equal(t, 2, share)
		}
		for i := range 40 {
			server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(i % 4)), Value: fmt.Append(nil, i)})
		}
		synctest.Wait()
		assert.Len(t, server.Acked("s"), 20)
		assert.Len(t, server.Held("s"), 20)
		stopSlow()
		require.NoError(t, <-slowDone)
		_, err = server.WaitAcked(t.Context(), "s", 40)
		require.NoError(t, err)
		assert.Empty(t, server.Held("s"))
		stopFast()
		require.NoError(t, <-fastDone)
	})
}

func TestAckOfWhatIsNotHeldIsAnsweredWithANotice(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	stream := raw(t, server, "orders")
	require.NoError(t, stream.Send(&messageproxyv1.ConsumeRequest{Request: &messageproxyv1.ConsumeRequest_Ack{Ack: &messageproxyv1.AckRequest{MessageIds: []string{"x"}}}}))
	for {
		response, err := stream.Recv()
		require.NoError(t, err)
		if notice := response.GetNotice(); notice != nil {
			assert.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, notice.GetCode())
			assert.Equal(t, []string{"x"}, notice.GetMessageIds())
			return
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := server.WaitAcked(ctx, "s", 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = server.WaitStored(ctx, "t", 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, server.WaitMembers(ctx, "s", 1), context.DeadlineExceeded)
}

func TestAPartitionThatDoesNotExistIsAnError(t *testing.T) {
	server := messageproxytest.NewServer()
	defer server.Close()
	client, err := server.NewClient()
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Produce(t.Context(), &messageproxy.Message{Topic: "orders", ToPartition: new(int32(99))})
	require.ErrorIs(t, err, messageproxy.CodePartitionNotFound)
	assert.Panics(t, func() { server.Add(&messageproxy.Message{Topic: "orders", ToPartition: new(int32(-1))}) })
	assert.Panics(t, func() { server.CreateTopic("orders", 3) })
}

func TestALatestStartSkipsWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		client, err := server.NewClient()
		require.NoError(t, err)
		defer client.Close()
		server.Add(&messageproxy.Message{Topic: "orders", Value: []byte("old")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			handler := func(context.Context, *messageproxy.Message) error { return nil }
			done <- client.Subscription("s", "orders").Consume(ctx, handler, messageproxy.WithStart(messageproxy.StartLatest))
		}()
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		server.Add(&messageproxy.Message{Topic: "orders", Value: []byte("new")})
		acked, err := server.WaitAcked(t.Context(), "s", 1)
		require.NoError(t, err)
		assert.Equal(t, "new", string(acked[0].Value))
		cancel()
		require.NoError(t, <-done)
	})
}

func TestCloseMayBeCalledTwice(t *testing.T) {
	server := messageproxytest.NewServer()
	server.Close()
	server.Close()
}
