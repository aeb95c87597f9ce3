package consume_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/consume"
)

func TestSubscriptionsAboveTheLimitAreRefused(t *testing.T) {
	bubble(t, 1, consume.Config{MaxSubscriptions: 2}, func(t *testing.T, h *harness) {
		subscribeTo := func(name string) *testClient {
			return h.subscribe("c", func(r *messageproxyv1.SubscribeRequest) { r.Subscription = name })
		}
		one, two := subscribeTo("one"), subscribeTo("two")
		refused := subscribeTo("three")
		end := find(refused, (*messageproxyv1.ConsumeResponse).GetTerminalError)
		require.Len(t, end, 1)
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, end[0].GetCode())
		require.True(t, end[0].GetRetryable())
		require.Zero(t, h.broker.Consumers("three"))

		again := subscribeTo("two")
		require.Empty(t, find(again, (*messageproxyv1.ConsumeResponse).GetTerminalError), "it is open already")
		one.halfClose()
		time.Sleep(time.Second)
		synctest.Wait()
		third := subscribeTo("three")
		require.Empty(t, find(third, (*messageproxyv1.ConsumeResponse).GetTerminalError), "there is room again")
		require.Equal(t, 2, h.service.Stats().Subscriptions)
		require.Empty(t, find(two, (*messageproxyv1.ConsumeResponse).GetTerminalError))
	})
}
