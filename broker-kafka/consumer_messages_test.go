package kafka

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestMessagesDoNotHoldOnToTheirFetch: one message that nobody ACKs must not keep
// megabytes of those that were fetched with it in memory.
func TestMessagesDoNotHoldOnToTheirFetch(t *testing.T) {
	fetch := bytes.Repeat([]byte("x"), 1<<20) // what the client has read, and records refer to
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{
			Offset: int64(i), Key: fetch[i : i+10], Value: fetch[i*100 : (i+1)*100],
			Headers: []kgo.RecordHeader{{Key: "a", Value: fetch[i : i+5]}},
		})
	}
	steps, count := makeSteps(&partition{topic: topicID{1}, ids: newIDPrefix(topicID{1}, 0)}, records)
	require.Equal(t, 1000, count)
	clear(fetch) // whatever refers to it changes
	position := uint64(0)
	for _, step := range steps {
		messages := step.event.(broker.EventMessages).Messages
		require.LessOrEqual(t, cap(messages), chunkMessages)
		total := 0
		for i := range messages {
			m := &messages[i]
			require.Equal(t, position, m.Position)
			require.NotContains(t, string(m.Key)+string(m.Value)+string(m.Headers[0].Value), "\x00")
			total += m.Size()
			position++
		}
		require.Equal(t, int64(position), step.next)
		require.LessOrEqual(t, total, chunkBytes)
	}
	require.EqualValues(t, 1000, position)
}

func TestALargeMessageSharesNothing(t *testing.T) {
	large := make([]byte, chunkBytes)
	var records []*kgo.Record
	for i := range 4 {
		records = append(records, &kgo.Record{Offset: int64(i), Key: []byte("k"), Value: large})
	}
	steps, count := makeSteps(&partition{topic: topicID{1}, ids: newIDPrefix(topicID{1}, 0)}, records)
	require.Equal(t, 4, count)
	require.Len(t, steps, 4)
}

func TestMessagesAreMadeOfRecordsAsTheyAre(t *testing.T) {
	timestamp := time.UnixMilli(1_700_000_000_000)
	control := &kgo.Record{Offset: 12, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true})}
	records := []*kgo.Record{
		{Offset: 10, Partition: 3, Timestamp: timestamp},
		{Offset: 11, Partition: 3, Key: []byte{}, Value: []byte{}, Headers: []kgo.RecordHeader{
			{Key: "absent"}, {Key: "empty", Value: []byte{}}, {Key: "absent", Value: []byte("not")},
		}},
		control,
	}
	steps, count := makeSteps(&partition{id: broker.TopicPartition{Topic: "orders", Partition: 3}, topic: topicID{7}, ids: newIDPrefix(topicID{7}, 3)}, records)
	require.Equal(t, 2, count)
	require.Len(t, steps, 1)
	require.EqualValues(t, 13, steps[0].next, "the control record is passed")
	messages := steps[0].event.(broker.EventMessages).Messages
	for i, m := range messages {
		require.Equal(t, string(appendMessageID(nil, topicID{7}, 3, int64(10+i))), m.ID)
	}
	require.Equal(t, timestamp, messages[0].Timestamp)
	require.Nil(t, messages[0].Key)
	require.Nil(t, messages[0].Value)
	require.Empty(t, messages[0].Headers)
	require.Equal(t, []byte{}, messages[1].Key)
	require.Equal(t, []byte{}, messages[1].Value)
	require.Equal(t, []broker.Header{
		{Key: "absent"}, {Key: "empty", Value: []byte{}}, {Key: "absent", Value: []byte("not")},
	}, messages[1].Headers)

	steps, count = makeSteps(&partition{topic: topicID{7}}, []*kgo.Record{control})
	require.Zero(t, count)
	require.Len(t, steps, 1)
	require.Nil(t, steps[0].event, "a step without messages")
	require.EqualValues(t, 13, steps[0].next)
}

func BenchmarkMakeSteps(b *testing.B) {
	for _, size := range []int{10, 100, 1000, 100_000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			records := make([]*kgo.Record, 1000)
			for i := range records {
				records[i] = &kgo.Record{Offset: int64(i), Value: make([]byte, size)}
			}
			p := &partition{topic: topicID{1}, ids: newIDPrefix(topicID{1}, 0)}
			b.ReportAllocs()
			b.SetBytes(int64(size * len(records)))
			for b.Loop() {
				makeSteps(p, records)
			}
		})
	}
}
