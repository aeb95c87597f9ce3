package kafka

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkConsume polls and ACKs messages of 100 bytes that are stored already.
// One operation is one message.
func BenchmarkConsume(b *testing.B) {
	for name, partitions := range map[string]int32{"1 partition": 1, "8 partitions": 8} {
		b.Run(name, func(b *testing.B) { benchmarkConsume(b, partitions, partitions) })
	}
	// The others have nothing.
	b.Run("1 of 8 partitions", func(b *testing.B) { benchmarkConsume(b, 8, 1) })
}

func benchmarkConsume(b *testing.B, partitions, used int32) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "orders"))
	require.NoError(b, err)
	defer cluster.Close()
	fill(b, cluster, used, b.N)
	backend, err := New(Options{Brokers: cluster.ListenAddrs()})
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	c, err := backend.NewConsumer(b.Context(), broker.ConsumerOptions{Subscription: "billing", Topics: []string{"orders"}})
	require.NoError(b, err)
	var ids []broker.MessageID
	for n := 0; n < b.N; {
		events, err := c.PollMessages(b.Context())
		require.NoError(b, err)
		for _, event := range events {
			m, ok := event.(broker.EventMessages)
			if !ok {
				continue
			}
			ids = ids[:0]
			for i := range m.Messages {
				ids = append(ids, broker.MessageID{Partition: m.Partition, Position: m.Messages[i].Position})
			}
			c.Ack(ids...)
			n += len(ids)
		}
	}
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(b, c.Close(ctx))
}

func fill(b *testing.B, cluster *kfake.Cluster, partitions int32, count int) {
	b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(b, err)
	defer cl.Close()
	value := make([]byte, 100)
	_, _ = rand.Read(value)
	for i := range count {
		cl.Produce(context.Background(), &kgo.Record{Topic: "orders", Partition: int32(i) % partitions, Value: value}, nil)
	}
	require.NoError(b, cl.Flush(context.Background()))
}
