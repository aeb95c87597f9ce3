package consume

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// Who joined before a drain, and is heard of only after a panic while draining, is told
// that the server shuts down: nobody tells the new state of the drain again.
func TestWhoJoinsAfterAPanicWhileDrainingIsTold(t *testing.T) {
	s := NewService(nil, Config{EvictionGrace: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	sub := newSubscription(s, "s")
	sub.post(coordinator.Drain{})
	sub.turn()
	sub.beginAnew()

	c := newClient(s, 1, "c", &sink{ctx: t.Context()}, s.cfg.Logger)
	spec := coordinator.Spec{Topics: []string{"t"}, Start: broker.StartEarliest}
	sub.post(joined{coordinator.Join{Client: c.id, Spec: spec}, c})
	sub.turn()
	_, ended, terminal := c.outbox.take(nil)
	require.True(t, ended)
	require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, terminal.GetCode())
}
