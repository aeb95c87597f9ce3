package tap_test

import (
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/history/tap"
)

// logsAndPositions reads a partition whose end is a transaction taken back: what
// can't be read doesn't make the reader wait for it.
func logsAndPositions(s *scene) {
	defer s.stop()
	options := append(slices.Clone(s.kafkaOptions), kgo.TransactionalID("books"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	producer, err := kgo.NewClient(options...)
	require.NoError(s, err)
	defer producer.Close()
	s.transaction(producer, "kept", kgo.TryCommit)
	s.transaction(producer, "taken back", kgo.TryAbort)
	_, err = s.admin.CommitOffsets(s.Context(), subscription, offsets(topic, 0, 1))
	require.NoError(s, err)
	policy := "compact"
	_, err = s.admin.AlterTopicConfigs(s.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, topic)
	require.NoError(s, err)

	require.NoError(s, s.tap.ReadLogs(s.Context(), s.kafka, topic))
	require.NoError(s, s.tap.ReadPositions(s.Context(), s.admin, subscription))
	require.NoError(s, s.tap.ReadPositions(s.Context(), s.admin, "nobody's"))
	logs := of[history.Log](s)
	require.Len(s, logs, 2)
	require.Len(s, logs[0].Messages, 1)
	assert.Equal(s, "kept", logs[0].Messages[0].Token)
	assert.True(s, logs[0].Compacted)
	assert.Equal(s, history.Log{Partition: on(1), Compacted: true}, logs[1])
	assert.Equal(s, []history.PositionRead{{Subscription: subscription, Partition: on(0), Position: 1}}, of[history.PositionRead](s))
}

func offsets(topic string, partition int32, at int64) kadm.Offsets {
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: topic, Partition: partition, At: at, LeaderEpoch: -1})
	return o
}

func (s *scene) transaction(producer *kgo.Client, token string, end kgo.TransactionEndTry) {
	s.Helper()
	require.NoError(s, producer.BeginTransaction())
	record := &kgo.Record{Topic: topic, Partition: 0, Value: tap.Value(token, 20)}
	require.NoError(s, producer.ProduceSync(s.Context(), record).FirstErr())
	require.NoError(s, producer.EndTransaction(s.Context(), end))
}
