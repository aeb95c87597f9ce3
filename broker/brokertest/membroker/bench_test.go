package membroker_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

// BenchmarkThroughput produces messages of 100 bytes and consumes and ACKs them at
// the same time.
func BenchmarkThroughput(b *testing.B) {
	const partitions = 8
	mem := membroker.New(membroker.Options{Topics: map[string]int{"orders": partitions}, DiscardAcked: true})
	defer func() { require.NoError(b, mem.Close()) }()
	p, err := mem.NewProducer(b.Context(), broker.ProducerOptions{})
	require.NoError(b, err)
	c, err := mem.NewConsumer(b.Context(), broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders"}})
	require.NoError(b, err)
	messages := make([]*broker.OutgoingMessage, partitions*100)
	for i := range messages {
		messages[i] = &broker.OutgoingMessage{
			Topic: "orders", Partition: broker.AnyPartition, Key: fmt.Append(nil, i), Value: make([]byte, 100),
		}
	}
	consumed := make(chan error, 1)
	target := make(chan int, 1)
	go func() { consumed <- consume(c, target) }()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		p.ProduceAsync(messages[n%len(messages)], func(broker.MessageReceipt, error) {})
		n++
		if n%10_000 == 0 {
			require.NoError(b, p.Flush(b.Context()))
		}
	}
	require.NoError(b, p.Flush(b.Context()))
	target <- n
	p.ProduceAsync(messages[0], func(broker.MessageReceipt, error) {}) // so that a poll returns
	require.NoError(b, <-consumed)
}

// consume ACKs messages until it has as many as target says.
func consume(c broker.Consumer, target <-chan int) error {
	want, n := -1, 0
	var ids []broker.MessageID
	for want < 0 || n < want {
		events, err := c.PollMessages(context.Background())
		if err != nil {
			return err
		}
		ids = append(ids[:0], idsIn(events)...)
		n += len(ids)
		c.Ack(ids...)
		select {
		case want = <-target:
		default:
		}
	}
	return nil
}

func idsIn(events broker.Events) (ids []broker.MessageID) {
	for _, event := range events {
		if m, ok := event.(broker.EventMessages); ok {
			for i := range m.Messages {
				ids = append(ids, broker.MessageID{Partition: m.Partition, Position: m.Messages[i].Position})
			}
		}
	}
	return ids
}
