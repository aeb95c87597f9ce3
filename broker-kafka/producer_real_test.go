//go:build realkafka

// These tests need a real Kafka, named in MESSAGEPROXY_TEST_KAFKA; the module
// integration runs them against one of its own.

package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/broker"
	kafka "github.com/messageproxy/messageproxy/broker-kafka"
	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
)

// realKafka is a Kafka cluster with rules that the embedded one doesn't have.
type realKafka struct {
	*testing.T
	brokers []string
	client  *kgo.Client
	admin   *kadm.Client
}

func onRealKafka(t *testing.T) *realKafka {
	t.Helper()
	brokers := kafkatest.Brokers()
	require.NotEmpty(t, brokers, "name a Kafka in %s", kafkatest.EnvBrokers)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics())
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &realKafka{T: t, brokers: brokers, client: client, admin: kadm.NewClient(client)}
}

func (k *realKafka) topic(configs map[string]string) string {
	k.Helper()
	name := fmt.Sprintf("topic-%016x", rand.Uint64())
	pointers := map[string]*string{}
	for key, value := range configs {
		pointers[key] = &value
	}
	_, err := k.admin.CreateTopic(k.Context(), 1, -1, pointers, name)
	require.NoError(k, err)
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	require.NoError(k, kafkatest.AwaitTopic(ctx, k.client, name, 1))
	return name
}

func (k *realKafka) producer() broker.Producer {
	k.Helper()
	b, err := kafka.New(kafka.Options{Brokers: k.brokers})
	require.NoError(k, err)
	p, err := b.NewProducer(k.Context(), broker.ProducerOptions{})
	require.NoError(k, err)
	k.Cleanup(func() { assert.NoError(k, p.Close()) })
	return p
}

// produce returns the receipts and errors by message.
func (k *realKafka) produce(messages ...*broker.OutgoingMessage) ([]broker.MessageReceipt, []error) {
	k.Helper()
	receipts, errs := make([]broker.MessageReceipt, len(messages)), make([]error, len(messages))
	p := k.producer()
	for i, m := range messages {
		p.ProduceAsync(m, func(receipt broker.MessageReceipt, err error) { receipts[i], errs[i] = receipt, err })
	}
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	require.NoError(k, p.Flush(ctx))
	return receipts, errs
}

func (k *realKafka) read(topic string, n int) []*kgo.Record {
	k.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	require.NoError(k, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := cl.PollFetches(ctx)
		require.NoError(k, fetches.Err())
		records = append(records, fetches.Records()...)
	}
	return records
}

func outgoing(topic, key, value string) *broker.OutgoingMessage {
	m := &broker.OutgoingMessage{Topic: topic, Partition: broker.AnyPartition, Value: []byte(value)}
	if key != "" {
		m.Key = []byte(key)
	}
	return m
}

// What Kafka refuses for its own sake it refuses with everything in the batch; so
// nothing of that may get there.
func TestRealKafkaRefusalsCostNoOther(t *testing.T) {
	k := onRealKafka(t)
	topic := k.topic(map[string]string{"cleanup.policy": "compact", "max.message.bytes": "200000"})
	var messages []*broker.OutgoingMessage
	bad := map[int]broker.Code{}
	for i := range 1000 {
		m := outgoing(topic, fmt.Sprint(i), "v")
		switch i % 100 {
		case 10:
			m.Key = nil
			bad[i] = broker.CodeInvalidArgument
		case 20:
			m.Timestamp = time.Now().Add(1000 * time.Hour) // Kafka 4 allows one hour
			bad[i] = broker.CodeInvalidArgument
		case 30:
			m.Value = bytes.Repeat([]byte("0123456789"), 20_000)
			bad[i] = broker.CodeMessageTooLarge
		}
		messages = append(messages, m)
	}
	_, errs := k.produce(messages...)
	for i, err := range errs {
		if code, isBad := bad[i]; isBad {
			require.ErrorIs(t, err, code, "message %d", i)
		} else {
			require.NoError(t, err, "message %d", i)
		}
	}
	assert.Len(t, k.read(topic, len(messages)-len(bad)), len(messages)-len(bad))
}

// The largest message that the topic takes is stored, the next larger one isn't.
func TestRealKafkaTakesTheLargestMessage(t *testing.T) {
	k := onRealKafka(t)
	topic := k.topic(map[string]string{"max.message.bytes": "100000"})
	largest := 0
	for size := 99_900; size < 100_000; size++ {
		value := make([]byte, size)
		for i := range value {
			value[i] = byte(rand.Uint32()) // must not compress
		}
		_, errs := k.produce(&broker.OutgoingMessage{Topic: topic, Partition: broker.AnyPartition, Value: value})
		if errs[0] != nil {
			require.ErrorIs(t, errs[0], broker.CodeMessageTooLarge)
			assert.False(t, broker.IsRetryable(errs[0]), "it wasn't even sent")
			break
		}
		largest = size
	}
	assert.Greater(t, largest, 99_900)
}

func TestRealKafkaStampsReceipts(t *testing.T) {
	k := onRealKafka(t)
	topic := k.topic(map[string]string{"message.timestamp.type": "LogAppendTime"})
	var messages []*broker.OutgoingMessage
	for i := range 100 {
		m := outgoing(topic, "", fmt.Sprint(i))
		m.Timestamp = time.Now().Add(-time.Hour)
		messages = append(messages, m)
	}
	receipts, errs := k.produce(messages...)
	for i, r := range k.read(topic, len(messages)) {
		require.NoError(t, errs[i])
		assert.True(t, r.Timestamp.Equal(receipts[i].Timestamp), "message %d: %v is stored, the receipt says %v", i, r.Timestamp, receipts[i].Timestamp)
		assert.NotEmpty(t, receipts[i].ID)
	}
}
