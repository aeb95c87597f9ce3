package consume_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
	"github.com/messageproxy/messageproxy/server/internal/consume"
)

// panicBroker panics in the call of one subscription that it is told, once.
type panicBroker struct {
	broker.Broker
	mu   sync.Mutex
	call string
}

func (b *panicBroker) panicIn(call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.call = call
}

func (b *panicBroker) at(subscription, call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if subscription == "s" && b.call == call {
		b.call = ""
		panic("out of tune in " + call)
	}
}

func (b *panicBroker) NewConsumer(ctx context.Context, opts broker.ConsumerOptions) (broker.Consumer, error) {
	b.at(opts.Subscription, "NewConsumer")
	c, err := b.Broker.NewConsumer(ctx, opts)
	return &panicConsumer{c, b, opts.Subscription}, err
}

type panicConsumer struct {
	broker.Consumer
	broker       *panicBroker
	subscription string
}

func (c *panicConsumer) PollMessages(ctx context.Context) (broker.Events, error) {
	c.broker.at(c.subscription, "PollMessages")
	return c.Consumer.PollMessages(ctx)
}

func (c *panicConsumer) Ack(ids ...broker.MessageID) {
	c.broker.at(c.subscription, "Ack")
	c.Consumer.Ack(ids...)
}

func (c *panicConsumer) Release(partitions ...broker.TopicPartition) {
	c.broker.at(c.subscription, "Release")
	c.Consumer.Release(partitions...)
}

func (c *panicConsumer) ResolveID(id string) (broker.MessageID, bool) {
	c.broker.at(c.subscription, "ResolveID")
	return c.Consumer.ResolveID(id)
}

func (c *panicConsumer) Close(ctx context.Context) error {
	defer c.broker.at(c.subscription, "Close")
	return c.Consumer.Close(ctx)
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// panicking runs a test of a subscription "s" that panics beside "another", which is
// to notice nothing.
func panicking(t *testing.T, test func(t *testing.T, h *harness, b *panicBroker)) {
	panicBubble(t, func(t *testing.T, h *harness, b *panicBroker, log *syncBuffer) {
		neighbour := h.subscribe("neighbour", func(r *messageproxyv1.SubscribeRequest) { r.Subscription = "another" })
		test(t, h, b)
		h.produce(0, "last")
		require.True(t, neighbour.isOpen())
		require.Equal(t, "last", neighbour.values()[len(neighbour.values())-1])
		require.Contains(t, log.text(), "out of tune")
		require.Contains(t, log.text(), "panic_test.go", "the stack")
	})
}

func panicBubble(t *testing.T, test func(t *testing.T, h *harness, b *panicBroker, log *syncBuffer)) {
	b, log := &panicBroker{}, &syncBuffer{}
	wrap := func(inner broker.Broker) broker.Broker {
		b.Broker = inner
		return b
	}
	cfg := consume.Config{Logger: slog.New(slog.NewTextHandler(log, nil))}
	bubbleOver(t, wrap, membroker.Options{Topics: map[string]int{"t": 1}}, cfg, func(t *testing.T, h *harness) {
		test(t, h, b, log)
	})
}

// A panic in the loop of a subscription ends its streams with INTERNAL, and the next
// subscriber opens it anew.
func TestPanicInALoopCostsItsSubscriptionAlone(t *testing.T) {
	panicking(t, func(t *testing.T, h *harness, b *panicBroker) {
		first, second := h.subscribe("first"), h.subscribe("second")
		h.produce(0, "a", "b")
		holder := first
		if len(second.values()) > 0 {
			holder = second
		}
		b.panicIn("Ack")
		holder.ack("a")
		for _, c := range []*testClient{first, second} {
			terminal := c.ending()
			require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, terminal.GetCode())
			require.True(t, terminal.GetRetryable())
			require.NotContains(t, terminal.GetMessage(), "out of tune", "what went wrong inside is for the log")
		}
		require.Zero(t, h.broker.Consumers("s"), "its consumer is closed")
		require.Equal(t, 1, h.service.Stats().Subscriptions, "the neighbour's")

		next := h.subscribe("next")
		require.Equal(t, []string{"a", "b"}, next.values())
		next.ack("a", "b")
		require.Equal(t, 1, h.broker.Consumers("s"))
		require.Len(t, h.acked(0), 2)
		next.vanish()
		time.Sleep(time.Second)
		require.EqualValues(t, 2*(1+320), h.service.Stats().BufferedBytes, "what the neighbour holds")
	})
}

// Who subscribes while the consumer of a subscription that failed closes waits for
// that, and gets in.
func TestPanicAndWhoSubscribesMeanwhile(t *testing.T) {
	panicking(t, func(t *testing.T, h *harness, b *panicBroker) {
		first := h.subscribe("first")
		h.produce(0, "a")
		release := h.broker.HoldCloses()
		b.panicIn("Ack")
		first.ack("a")
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, first.ending().GetCode())
		next := h.subscribe("next")
		require.True(t, next.isOpen())
		require.Empty(t, next.responses)
		release()
		require.Equal(t, []string{"a"}, next.values())
	})
}

// A drain that began before the panic goes on.
func TestPanicWhileDraining(t *testing.T) {
	panicBubble(t, func(t *testing.T, h *harness, b *panicBroker, _ *syncBuffer) {
		c := h.subscribe("c")
		h.produce(0, "a", "b")
		require.Len(t, c.values(), 2)
		drained := make(chan error, 1)
		go func() { drained <- h.service.Drain(t.Context()) }()
		synctest.Wait()
		require.True(t, c.isOpen())
		b.panicIn("Ack")
		c.ack("a")
		require.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, c.ending().GetCode())
		require.NoError(t, <-drained)
	})
}

// Panics of the broker's own calls elsewhere: the consumer is replaced, or the stream
// alone ends.
func TestPanicsOfTheBroker(t *testing.T) {
	internal := messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL
	for call, do := range map[string]func(t *testing.T, h *harness, c *testClient){
		"NewConsumer": func(t *testing.T, h *harness, c *testClient) {
			require.Equal(t, internal, c.ending().GetCode())
		},
		"PollMessages": func(t *testing.T, h *harness, c *testClient) {
			h.produce(0, "a")
			time.Sleep(time.Second)
			require.Equal(t, []string{"a"}, c.values(), "from another consumer")
			require.Equal(t, []messageproxyv1.ErrorCode{messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED}, errorCodes(find(c, (*messageproxyv1.ConsumeResponse).GetError)))
		},
		"ResolveID": func(t *testing.T, h *harness, c *testClient) {
			h.produce(0, "a")
			c.ack("a")
			require.Equal(t, internal, c.ending().GetCode())
		},
		"Release": func(t *testing.T, h *harness, c *testClient) {
			h.broker.Revoke("s", partition(0))
			require.Equal(t, internal, c.ending().GetCode())
			h.broker.GiveBack("s", partition(0))
		},
		"Close": func(t *testing.T, h *harness, c *testClient) {
			c.vanish()
		},
	} {
		t.Run(call, func(t *testing.T) {
			panicking(t, func(t *testing.T, h *harness, b *panicBroker) {
				var c *testClient
				if call == "NewConsumer" || call == "PollMessages" {
					b.panicIn(call)
					c = h.subscribe("c")
				} else {
					c = h.subscribe("c")
					b.panicIn(call)
				}
				do(t, h, c)
				time.Sleep(time.Second)
				next := h.subscribe("next")
				h.produce(0, "z")
				require.True(t, slices.Contains(append(next.values(), c.values()...), "z"))
			})
		})
	}
}
