package messageproxy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestWhenTheContextEndsRunningHandlersFinishAndAreAcked(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 3)
		var seen record
		var endedEarly error
		c := consume(t, client, func(ctx context.Context, m *messageproxy.Message) error {
			seen.add(m)
			endedEarly = pause(ctx, 10*time.Second)
			return endedEarly
		})
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.stop())
		assert.Equal(t, 10*time.Second, time.Since(began))
		require.NoError(t, endedEarly, "its context doesn't end")
		assert.Equal(t, []string{"0"}, values(server.Acked("s")))
		assert.Equal(t, []string{"0"}, seen.all(), "what hasn't begun doesn't begin")
	})
}

// TestLeavingInGoodOrder sees the requests that the server gets.
func TestLeavingInGoodOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		service := &rawService{consume: func(stream consumeServer) error {
			for {
				request, err := stream.Recv()
				if err != nil {
					requests = append(requests, err.Error())
					return nil
				}
				switch r := request.GetRequest().(type) {
				case *messageproxyv1.ConsumeRequest_Subscribe:
					requests = append(requests, "subscribe")
					messages := []*messageproxyv1.Message{{Id: "1"}, {Id: "2"}}
					if err := stream.Send(batchOf(&messageproxyv1.PartitionMessages{Topic: "orders", Messages: messages})); err != nil {
						return err
					}
				case *messageproxyv1.ConsumeRequest_Leave:
					requests = append(requests, "leave")
				case *messageproxyv1.ConsumeRequest_Ack:
					requests = append(requests, r.Ack.GetMessageIds()...)
				}
			}
		}}
		client := service.start(t)
		c := consume(t, client, func(context.Context, *messageproxy.Message) error {
			time.Sleep(time.Second)
			return nil
		})
		synctest.Wait()
		require.NoError(t, c.stop())
		assert.Equal(t, []string{"subscribe", "leave", "1", "EOF"}, requests)
	})
}

func TestAnotherClientGetsTheRestAtOnceWhenOneLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.CreateTopic("orders", 1)
		add(server, "k", 3)
		slow := func(context.Context, *messageproxy.Message) error {
			time.Sleep(time.Second)
			return nil
		}
		first := consume(t, client, slow)
		require.NoError(t, server.WaitMembers(t.Context(), "s", 1))
		synctest.Wait()
		second := consume(t, client, slow)
		require.NoError(t, server.WaitMembers(t.Context(), "s", 2))
		require.NoError(t, first.stop())
		acked, err := server.WaitAcked(t.Context(), "s", 3)
		require.NoError(t, err)
		assert.Equal(t, []string{"0", "1", "2"}, values(acked), "once each, in order")
		require.NoError(t, second.stop())
	})
}

func TestTheDrainTimeoutCancelsHandlers(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		began := time.Now()
		c := consume(t, client, func(ctx context.Context, _ *messageproxy.Message) error {
			<-ctx.Done()
			return nil // done all the same
		}, messageproxy.WithDrainTimeout(5*time.Second))
		synctest.Wait()
		require.NoError(t, c.stop())
		assert.Equal(t, 5*time.Second, time.Since(began))
		assert.Len(t, server.Acked("s"), 1, "its ACK still counts")
	})
}

func TestAHandlerThatNeverReturnsIsLeftBehind(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		began := time.Now()
		release := make(chan struct{})
		c := consume(t, client, func(context.Context, *messageproxy.Message) error {
			<-release
			return nil
		}, messageproxy.WithDrainTimeout(5*time.Second))
		synctest.Wait()
		require.ErrorIs(t, c.stop(), messageproxy.ErrHandlersRunning)
		assert.LessOrEqual(t, time.Since(began), 6500*time.Millisecond)
		assert.Empty(t, server.Acked("s"))
		close(release)
	})
}

func TestClosingTheClientStopsConsume(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		c := consume(t, client, func(context.Context, *messageproxy.Message) error {
			return client.Close() // it doesn't wait for this handler
		})
		require.ErrorIs(t, <-c.done, messageproxy.ErrClosed)
		assert.Len(t, server.Acked("s"), 1)
	})
}

func TestConsumeStopsWhileItCannotConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		client, err := server.NewClient((&gate{}).through(server))
		require.NoError(t, err)
		defer client.Close()
		c := consume(t, client, handleAll)
		time.Sleep(time.Hour)
		began := time.Now()
		require.NoError(t, c.stop())
		assert.Zero(t, time.Since(began))
	})
}

func TestAServerThatDoesNotAnswerALeaveIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &rawService{consume: func(stream consumeServer) error {
			<-stream.Context().Done()
			return nil
		}}
		client := service.start(t)
		c := consume(t, client, handleAll)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.stop())
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestARetryDoesNotHoldUpTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		add(server, "k", 1)
		c := consume(t, client, func(context.Context, *messageproxy.Message) error { return errBad },
			messageproxy.WithAttempts(5, 20*time.Second, 20*time.Second))
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.stop())
		assert.Zero(t, time.Since(began))
		assert.Empty(t, server.Acked("s"), "it is delivered again")
	})
}
