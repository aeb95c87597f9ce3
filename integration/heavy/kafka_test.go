package heavy_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkadev"
)

// cluster is an embedded Kafka, in this process.
type cluster struct {
	*kafkadev.Cluster
	client *kgo.Client
	admin  *kadm.Client
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	kafka, err := kafkadev.Start(kafkadev.Options{PartitionBytes: 1 << 40})
	require.NoError(t, err)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Brokers()...), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(16<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableClientMetrics(),
	)
	require.NoError(t, err)
	t.Cleanup(func() {
		client.Close()
		require.NoError(t, kafka.Close())
	})
	return &cluster{kafka, client, kadm.NewClient(client)}
}

func (c *cluster) createTopic(t testing.TB, topic string, partitions int) {
	t.Helper()
	_, err := c.admin.CreateTopic(t.Context(), int32(partitions), 1, nil, topic)
	require.NoError(t, err)
}

// fill writes so many messages of a size into each partition of a topic.
func (c *cluster) fill(t testing.TB, topic string, partitions, each, size int) {
	t.Helper()
	payload := make([]byte, size)
	_, _ = rand.Read(payload) // never fails
	var failed error
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed = err // promises are called one at a time
		}
	}
	for p := range partitions {
		for range each {
			c.client.Produce(t.Context(), &kgo.Record{Topic: topic, Partition: int32(p), Value: payload}, done)
		}
	}
	require.NoError(t, c.client.Flush(t.Context()))
	require.NoError(t, failed)
}
