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
