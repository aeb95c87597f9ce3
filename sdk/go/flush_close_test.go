package messageproxy_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
	"github.com/messageproxy/messageproxy/sdk/go/messageproxytest"
)

func TestFlushWaitsForCallbacksOfWhatCameBefore(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		returned := false
		client.ProduceAsync(t.Context(), message("k", "before"), func(messageproxy.Receipt, error) {
			time.Sleep(time.Second)
			returned = true
		})
		flushed := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { flushed <- client.Flush(ctx) }()
		synctest.Wait()
		assert.Empty(t, flushed)

		server.ReleaseProduce()
		synctest.Wait() // the first is answered, and its callback sleeps
		server.HoldProduce()
		client.ProduceAsync(t.Context(), message("k", "after"), nil)
		require.NoError(t, <-flushed, "it doesn't wait for what came after")
		assert.True(t, returned)
		server.ReleaseProduce()
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		require.NoError(t, client.Flush(t.Context()), "nothing to wait for")
		server.HoldProduce()
		client.ProduceAsync(t.Context(), message("k", "v"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, client.Flush(ctx), context.DeadlineExceeded)
		server.ReleaseProduce()
		require.NoError(t, client.Flush(t.Context()))
	})
}

func TestCloseAnswersEverything(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		server.HoldProduce()
		var onWire, waiting outcomes
		client.ProduceAsync(t.Context(), message("k", "1"), onWire.callback)
		synctest.Wait()
		go client.ProduceAsync(t.Context(), message("k", "2"), waiting.callback) // no room
		synctest.Wait()
		require.NoError(t, client.Close())
		synctest.Wait()
		require.Len(t, onWire.all(), 1)
		require.ErrorIs(t, onWire.all()[0], messageproxy.ErrUnknownOutcome)
		require.ErrorIs(t, onWire.all()[0], messageproxy.ErrClosed)
		require.Len(t, waiting.all(), 1)
		require.ErrorIs(t, waiting.all()[0], messageproxy.ErrClosed)
		require.NotErrorIs(t, waiting.all()[0], messageproxy.ErrUnknownOutcome)

		require.NoError(t, client.Close(), "twice")
		_, err := client.Produce(t.Context(), message("k", "3"))
		require.ErrorIs(t, err, messageproxy.ErrClosed)
		require.ErrorIs(t, client.Flush(t.Context()), messageproxy.ErrClosed)
		err = client.Subscription("s", "orders").Consume(t.Context(), func(context.Context, *messageproxy.Message) error { return nil })
		require.ErrorIs(t, err, messageproxy.ErrClosed)
	}, messageproxy.WithMaxOutstanding(1, 1000))
}

func TestCloseWhileConnectingFailsWhatWasNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := messageproxytest.NewServer()
		defer server.Close()
		client, err := server.NewClient((&gate{}).through(server))
		require.NoError(t, err)
		var results outcomes
		client.ProduceAsync(t.Context(), message("k", "v"), results.callback)
		time.Sleep(time.Minute)
		began := time.Now()
		require.NoError(t, client.Close())
		assert.Zero(t, time.Since(began))
		require.Len(t, results.all(), 1)
		require.ErrorIs(t, results.all()[0], messageproxy.ErrClosed)
		require.NotErrorIs(t, results.all()[0], messageproxy.ErrUnknownOutcome)
	})
}

func TestOptionsThatAreNotValidAreRefused(t *testing.T) {
	for name, opt := range map[string]messageproxy.Option{
		"WithLogger":           messageproxy.WithLogger(nil),
		"WithClientName":       messageproxy.WithClientName("\xff"),
		"more than 512":        messageproxy.WithClientName(strings.Repeat("x", 513)),
		"WithMaxMessageBytes":  messageproxy.WithMaxMessageBytes(0),
		"WithReconnectBackoff": messageproxy.WithReconnectBackoff(time.Second, time.Millisecond),
		"WithMaxOutstanding":   messageproxy.WithMaxOutstanding(0, 1),
	} {
		_, err := messageproxy.NewClient("localhost:7070", opt)
		require.ErrorIs(t, err, messageproxy.CodeInvalidArgument)
		require.ErrorContains(t, err, name)
	}
	_, err := messageproxy.NewClient("no\x00target", messageproxy.WithDialOptions(grpc.WithUserAgent("x")))
	require.ErrorIs(t, err, messageproxy.CodeInvalidArgument)

	bubble(t, func(t *testing.T, _ *messageproxytest.Server, client *messageproxy.Client) {
		for name, opt := range map[string]messageproxy.ConsumeOption{
			"WithMaxHandlers":  messageproxy.WithMaxHandlers(-1),
			"WithKeyWorkers":   messageproxy.WithKeyWorkers(-1),
			"WithAttempts":     messageproxy.WithAttempts(0, 0, 0),
			"WithMaxUnacked":   messageproxy.WithMaxUnacked(-1),
			"WithAckTimeout":   messageproxy.WithAckTimeout(-1),
			"WithStart":        messageproxy.WithStart(7),
			"WithDrainTimeout": messageproxy.WithDrainTimeout(-1),
			"WithObserver":     messageproxy.WithObserver(nil),
		} {
			err := client.Subscription("s", "orders").Consume(t.Context(), func(context.Context, *messageproxy.Message) error { return nil }, opt)
			require.ErrorIs(t, err, messageproxy.CodeInvalidArgument)
			require.ErrorContains(t, err, name)
		}
		require.ErrorIs(t, client.Subscription("s", "orders").Consume(t.Context(), nil), messageproxy.CodeInvalidArgument)
		require.ErrorIs(t, client.Subscription("\xff", "orders").Consume(t.Context(), handleAll), messageproxy.CodeInvalidArgument)
		require.ErrorIs(t, client.Subscription("s", "\xff").Consume(t.Context(), handleAll), messageproxy.CodeInvalidArgument)
	})
}

// TestAnIdleConnectionIsKept has the client ping for hours, beside a stream that
// has nothing to do.
func TestAnIdleConnectionIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, server *messageproxytest.Server, client *messageproxy.Client) {
		events := 0
		c := consume(t, client, handleAll, messageproxy.WithObserver(func(messageproxy.Event) { events++ }))
		_, err := client.Produce(t.Context(), message("k", "v"))
		require.NoError(t, err)
		time.Sleep(6 * time.Hour)
		require.NoError(t, c.stop())
		assert.Equal(t, 3, events, "connected, assigned, and nothing to do when leaving")
	})
}
