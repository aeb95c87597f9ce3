package broker_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

func TestTopicPartitionsAreOrderedByTopicThenNumber(t *testing.T) {
	ordered := []broker.TopicPartition{
		{Topic: "", Partition: 5},
		{Topic: "a", Partition: -1},
		{Topic: "a", Partition: 2},
		{Topic: "a", Partition: 10},
		{Topic: "a", Partition: math.MaxInt32},
		{Topic: "a/2", Partition: 0},
		{Topic: "b", Partition: 0},
	}
	for i, p := range ordered {
		for j, q := range ordered {
			require.Equal(t, sign(i-j), sign(p.Compare(q)), "%s and %s", p, q)
		}
	}
	shuffled := slices.Clone(ordered)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, broker.TopicPartition.Compare)
	require.Equal(t, ordered, shuffled)
}

func sign(n int) int { return min(max(n, -1), 1) }

func TestTopicPartitionString(t *testing.T) {
	require.Equal(t, "orders/12", broker.TopicPartition{Topic: "orders", Partition: 12}.String())
}

func TestSizeCountsKeyValueAndHeaders(t *testing.T) {
	require.Zero(t, (&broker.OutgoingMessage{Topic: "a topic doesn't count"}).Size())
	require.Zero(t, (&broker.Message{ID: "nor does an ID"}).Size())
	key, value := []byte("key"), []byte("value")
	headers := []broker.Header{{Key: "a", Value: []byte("12")}, {Key: "absent"}, {Value: []byte("3")}}
	const want = 3 + 5 + 1 + 2 + 6 + 1
	require.Equal(t, want, (&broker.OutgoingMessage{Key: key, Value: value, Headers: headers}).Size())
	require.Equal(t, want, (&broker.Message{Key: key, Value: value, Headers: headers}).Size())
}
