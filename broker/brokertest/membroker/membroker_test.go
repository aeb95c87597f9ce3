package membroker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// member is a consumer and what a test has received from it.
type member struct {
	broker.Consumer
	t        *testing.T
	messages []broker.Message
	ids      []broker.MessageID
	others   broker.Events // all other events
	errs     []error
}

func join(t *testing.T, b *membroker.Broker, opts broker.ConsumerOptions) *member {
	t.Helper()
	c, err := b.NewConsumer(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return &member{Consumer: c, t: t}
}

// poll polls until nothing comes for 50 ms of the bubble's time.
func (m *member) poll() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		events, err := m.PollMessages(ctx)
		cancel()
		for _, event := range events {
			m.note(event)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if err != nil {
			m.errs = append(m.errs, err)
			return
		}
	}
}

func (m *member) note(event broker.Event) {
	messages, ok := event.(broker.EventMessages)
	if !ok {
		m.others = append(m.others, event)
		return
	}
	for _, message := range messages.Messages {
		m.messages = append(m.messages, message)
		m.ids = append(m.ids, broker.MessageID{Partition: messages.Partition, Position: message.Position})
	}
}

// take returns what was received so far, as text, and forgets it.
func (m *member) take() string {
	text := ""
	for _, event := range m.others {
		text += fmt.Sprintf("%T%+v ", event, event)
	}
	for _, message := range m.messages {
		text += string(message.Value) + " "
	}
	for _, err := range m.errs {
		text += err.Error() + " "
	}
	m.messages, m.ids, m.others, m.errs = nil, nil, nil, nil
	return text
}

// outgoing makes messages for a partition.
func outgoing(topic string, partition int32, values ...string) []*broker.OutgoingMessage {
	messages := make([]*broker.OutgoingMessage, 0, len(values))
	for _, value := range values {
		messages = append(messages, &broker.OutgoingMessage{Topic: topic, Partition: partition, Value: []byte(value)})
	}
	return messages
}

func produce(t *testing.T, b *membroker.Broker, topic string, partition int32, values ...string) {
	t.Helper()
	_, err := b.Append(outgoing(topic, partition, values...)...)
	require.NoError(t, err)
}

func TestProducedMessagesArriveInOrderAndUnackedOnesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membroker.New(membroker.Options{Topics: map[string]int{"orders": 1}})
		produce(t, b, "orders", 0, "a", "b", "c")
		opts := broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders"}}
		first := join(t, b, opts)
		first.poll()
		require.Len(t, first.ids, 3)
		first.Ack(first.ids[1])
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a b c ", first.take())
		require.NoError(t, first.Close(t.Context()))

		second := join(t, b, opts)
		second.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a c ", second.take())
	})
}

func TestPartitionsAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membroker.New(membroker.Options{Topics: map[string]int{"orders": 2}})
		opts := broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders"}, HandoverTimeout: time.Second}
		produce(t, b, "orders", 0, "a")
		produce(t, b, "orders", 1, "b")
		first := join(t, b, opts)
		first.poll()
		first.take()
		second := join(t, b, opts)
		first.poll()
		require.Equal(t, "broker.EventRevoking{Partitions:[orders/0] TimeLeft:1s} ", first.take())
		second.poll()
		require.Empty(t, second.take(), "nothing before the release")
		first.Release(broker.TopicPartition{Topic: "orders"})
		first.poll()
		require.Equal(t, "broker.EventLost{Partitions:[orders/0]} ", first.take())
		second.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a ", second.take())
	})
}
