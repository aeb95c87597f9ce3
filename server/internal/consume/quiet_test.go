package consume_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/consume"
)

// A client that has opened a stream and not subscribed has nothing to finish: a
// drain ends its stream at once, and doesn't wait for it.
func TestDrainEndsStreamsThatHaveSaidNothing(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		c := h.open("silent")
		go c.read()
		require.True(t, c.isOpen())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, h.service.Drain(ctx))
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, c.ending().GetCode())
	})
}

// Streams that nobody uses don't gather: without a first request within a minute, a
// stream ends. One that has subscribed stays, however quiet it is.
func TestStreamsThatNeverSubscribeEnd(t *testing.T) {
	bubble(t, 1, consume.Config{}, func(t *testing.T, h *harness) {
		subscribed := h.subscribe("subscribed")
		silent := h.open("silent")
		go silent.read()
		time.Sleep(time.Minute - time.Second)
		require.True(t, silent.isOpen())
		time.Sleep(2 * time.Second)
		terminal := silent.ending()
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT, terminal.GetCode())
		require.Contains(t, terminal.GetMessage(), "send subscribe")
		time.Sleep(time.Hour)
		require.True(t, subscribed.isOpen())
	})
}
