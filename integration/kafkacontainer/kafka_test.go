package kafkacontainer_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
)

var kafka *kafkacontainer.Kafka

func TestMain(m *testing.M) {
	os.Exit(kafkacontainer.RunTests(m, kafkacontainer.Options{InMemory: true}, &kafka))
}

func newClient(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...),
		kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1))...) // however long the creation takes
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func produce(t *testing.T, client *kgo.Client, topic, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
}

// consume returns the first values of a topic.
func consume(t *testing.T, brokers []string, topic string, count int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := newClient(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var values []string
	for len(values) < count {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// answers reports whether a broker answers within a second.
func answers(t *testing.T, client *kgo.Client) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return client.Ping(ctx) == nil
}

func TestMessagesOfEveryCompressionComeBack(t *testing.T) {
	t.Parallel()
	for name, codec := range map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := "compression-" + name
			produce(t, newClient(t, kafka.Brokers(), kgo.ProducerBatchCompression(codec)), topic, "hello "+name)
			assert.Equal(t, []string{"hello " + name}, consume(t, kafka.Brokers(), topic, 1))
		})
	}
}

func TestPauseStopAndKillKeepDataAndAddress(t *testing.T) {
	t.Parallel()
	own, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{
		Settings: map[string]string{"num.partitions": "3"},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, own.Terminate(context.Background()))
		assert.NoError(t, own.Terminate(context.Background()), "a second time")
	})
	brokers := own.Brokers()
	client := newClient(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce(t, client, "survivors", "before")

	require.NoError(t, own.Pause(t.Context()))
	require.False(t, answers(t, client), "a paused Kafka must not answer")
	require.NoError(t, own.Unpause(t.Context()))
	produce(t, client, "survivors", "after pause")

	require.NoError(t, own.Stop(t.Context()))
	require.False(t, answers(t, client), "a stopped Kafka must not answer")
	require.NoError(t, own.Start(t.Context()))
	produce(t, client, "survivors", "after stop")

	require.NoError(t, own.Kill(t.Context()))
	require.False(t, answers(t, client), "a killed Kafka must not answer")
	require.NoError(t, own.Start(t.Context()))
	produce(t, client, "survivors", "after kill")

	assert.Equal(t, brokers, own.Brokers())
	assert.Equal(t, []string{"before", "after pause", "after stop", "after kill"}, consume(t, brokers, "survivors", 4))
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "survivors")
	require.NoError(t, err)
	assert.Len(t, topics["survivors"].Partitions, 3, "the option's setting holds")
}

func TestKafkaInMemoryStoresNothing(t *testing.T) {
	t.Parallel()
	own, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{InMemory: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, own.Terminate(context.Background())) })
	client := newClient(t, own.Brokers())
	produce(t, client, "forgotten", "before")
	require.NoError(t, own.Stop(t.Context()))
	require.NoError(t, own.Start(t.Context()))
	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	require.NoError(t, err)
	assert.Empty(t, topics)
}

func TestKafkaOnTheNetworkOfTheMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Docker has a network of its own here")
	}
	t.Parallel()
	own, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{HostNetwork: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, own.Terminate(context.Background())) })
	produce(t, newClient(t, own.Brokers()), "neighbours", "hello")
	assert.Equal(t, []string{"hello"}, consume(t, own.Brokers(), "neighbours", 1))
}

func TestKafkaThatWasThereBefore(t *testing.T) {
	t.Setenv(kafkacontainer.EnvBrokers, fmt.Sprintf(" %s ,", kafka.Brokers()[0]))
	existing, err := kafkacontainer.Connect(t.Context(), kafkacontainer.Options{})
	require.NoError(t, err)

	assert.Equal(t, kafka.Brokers(), existing.Brokers())
	assert.False(t, existing.Controlled())
	for name, call := range map[string]func(context.Context) error{
		"Stop": existing.Stop, "Start": existing.Start, "Kill": existing.Kill,
		"Pause": existing.Pause, "Unpause": existing.Unpause,
	} {
		assert.ErrorIs(t, call(t.Context()), kafkacontainer.ErrNotControlled, name)
	}
	require.NoError(t, existing.Terminate(t.Context()))
	require.NoError(t, newClient(t, kafka.Brokers()).Ping(t.Context()), "Terminate must leave it alone")
}

func TestUnreachableKafkaIsNamed(t *testing.T) {
	t.Setenv(kafkacontainer.EnvBrokers, "127.0.0.1:1")
	_, err := kafkacontainer.Connect(t.Context(), kafkacontainer.Options{})
	require.ErrorContains(t, err, kafkacontainer.EnvBrokers)
	require.ErrorContains(t, err, "127.0.0.1:1")
}
