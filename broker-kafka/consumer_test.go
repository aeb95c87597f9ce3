//go:build synctests

package kafka

import (
	"bytes"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestConsumeAckCommit(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		assert.Equal(e, numbers(0, 10), values(c.messages[0]))
		c.ack(0, 0, 1, 2, 4)
		assert.EqualValues(e, -1, e.committed(0), "not before the interval is over")
		time.Sleep(DefaultCommitInterval + time.Second)
		assert.EqualValues(e, 3, e.committed(0))
	})
}

func TestMessagesArriveAsTheyAre(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		at := time.UnixMilli(1_700_000_000_123)
		sent := []*kgo.Record{
			{Key: nil, Value: nil},
			{Key: []byte{}, Value: []byte{}},
			{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
				{Key: "a", Value: nil}, {Key: "a", Value: []byte{}}, {Key: "\xff", Value: []byte("1")},
			}},
			{Value: bytes.Repeat([]byte("x"), 900_000), Headers: []kgo.RecordHeader{{Key: "last"}}},
		}
		for _, r := range sent {
			r.Topic, r.Timestamp = testTopic, at
		}
		require.NoError(e, e.client.ProduceSync(e.Context(), sent...).FirstErr())
		c := e.open()
		c.pollMessages(0, len(sent))
		for i, m := range c.messages[0] {
			assert.EqualValues(e, i, m.Position)
			assert.Equal(e, sent[i].Key, m.Key)
			assert.Equal(e, sent[i].Value, m.Value)
			assert.True(e, at.Equal(m.Timestamp))
			require.Len(e, m.Headers, len(sent[i].Headers))
			for j, h := range sent[i].Headers {
				assert.Equal(e, broker.Header(h), m.Headers[j])
			}
		}
	})
}

// Kafka sends a message that is larger than what one fetch may bring of a
// partition all the same.
func TestLargeMessagesArrive(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		large := bytes.Repeat([]byte("x"), 15<<20)
		cl, err := kgo.NewClient(kgo.SeedBrokers(e.cluster.ListenAddrs()...), kgo.Dialer(e.network.DialContext),
			kgo.ProducerBatchMaxBytes(32<<20), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableClientMetrics())
		require.NoError(e, err)
		defer cl.Close()
		_, err = e.admin.AlterTopicConfigs(e.Context(), maxMessageBytes("33554432"), testTopic)
		require.NoError(e, err)
		e.produce(0, 0, 1)
		require.NoError(e, cl.ProduceSync(e.Context(), &kgo.Record{Topic: testTopic, Value: large}).FirstErr())
		e.produce(0, 2, 1)
		c := e.open()
		c.pollMessages(0, 3)
		assert.True(e, bytes.Equal(large, c.messages[0][1].Value))
	})
}

func TestResolveID(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 3)
		e.produce(1, 0, 3)
		c := e.open()
		_, ok := c.ResolveID("")
		assert.False(e, ok)
		c.pollMessages(0, 3)
		c.pollMessages(1, 3)
		for p := range int32(2) {
			for i, m := range c.messages[p] {
				id, ok := c.ResolveID(m.ID)
				assert.True(e, ok)
				assert.Equal(e, broker.MessageID{Partition: tp(p), Position: uint64(i)}, id)
				assert.True(e, utf8.ValidString(m.ID))
				_, ok = c.ResolveID(m.ID + "A")
				assert.False(e, ok)
			}
		}
		other := string(appendMessageID(nil, topicID{1}, 0, 1))
		_, ok = c.ResolveID(other)
		assert.False(e, ok, "another topic")
		beyond := string(appendMessageID(nil, c.topicIDs[testTopic], 2, 1))
		_, ok = c.ResolveID(beyond)
		assert.False(e, ok, "a partition that was never assigned")
		id := c.messages[0][0].ID
		assert.Zero(e, testing.AllocsPerRun(100, func() { c.ResolveID(id) }))
	})
}

func TestAcksOfWhatWasNotReturnedAreIgnored(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 5)
		c := e.open()
		c.pollMessages(0, 5)
		e.produce(0, 5, 5)
		time.Sleep(time.Second) // fetched, and not returned
		c.ack(0, positions(0, 10)...)
		c.Ack(broker.MessageID{Partition: tp(7), Position: 1}, broker.MessageID{})
		time.Sleep(2 * DefaultCommitInterval)
		assert.EqualValues(e, 5, e.committed(0))
		c.pollMessages(0, 10)
		time.Sleep(2 * DefaultCommitInterval)
		assert.EqualValues(e, 5, e.committed(0))
	})
}

func TestPausedByTheCaller(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		c := e.open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 2 })
		c.PausePartitions(tp(0), tp(9))
		c.pollFor(time.Second)
		e.produce(0, 0, 5)
		e.produce(1, 0, 5)
		c.pollMessages(1, 5)
		c.pollFor(time.Minute)
		assert.Empty(e, c.messages[0])
		c.ResumePartitions(tp(0), tp(9))
		c.pollMessages(0, 5)
	})
}

// A partition paused for both reasons goes on when neither holds.
func TestPausedByTheCallerAndTheWindow(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open(withWindow(10))
		e.produce(0, 0, 10)
		c.pollMessages(0, 10)
		e.produce(0, 10, 10)
		c.PausePartitions(tp(0))
		c.ackAll(0)
		c.pollFor(time.Minute)
		held := len(c.messages[0])
		c.ResumePartitions(tp(0))
		c.pollMessages(0, 20)
		c.PausePartitions(tp(0))
		c.ResumePartitions(tp(0))
		e.produce(0, 20, 10)
		c.pollFor(time.Minute)
		assert.Len(e, c.messages[0], 20, "its window has it paused")
		assert.Equal(e, 10, held)
	})
}

func TestMethodsMayBeCalledConcurrently(t *testing.T) {
	inBubble(t, 4, func(e *env) {
		c := e.open(withWindow(50))
		var wg sync.WaitGroup
		ids := make(chan broker.MessageID, 10_000)
		for range 4 {
			wg.Go(func() {
				for id := range ids {
					c.Ack(id)
					c.PausePartitions(id.Partition)
					c.Release(id.Partition)
					c.ResumePartitions(id.Partition)
				}
			})
		}
		for i := range 20 {
			for p := range int32(4) {
				e.produce(p, 100*i, 100)
			}
		}
		acked := make(map[int32]int)
		c.pollUntil("everything is there", func() bool {
			total := 0
			for p, messages := range c.messages {
				for _, m := range messages[acked[p]:] {
					ids <- broker.MessageID{Partition: tp(p), Position: m.Position}
				}
				acked[p] = len(messages)
				total += len(messages)
			}
			return total == 8000
		})
		close(ids)
		wg.Wait()
		time.Sleep(2 * DefaultCommitInterval)
		for p := range int32(4) {
			assert.Equal(e, numbers(0, 2000), values(c.messages[p]))
			assert.EqualValues(e, 2000, e.committed(p))
		}
	})
}

func TestConsumerOptionsAreChecked(t *testing.T) {
	b, err := New(Options{Brokers: []string{"localhost:1"}})
	require.NoError(t, err)
	for name, opts := range map[string]broker.ConsumerOptions{
		"no subscription": {Topics: []string{"a"}},
		"no topics":       {Subscription: "a"},
		"window":          {Subscription: "a", Topics: []string{"a"}, PartitionWindow: -1},
		"handover":        {Subscription: "a", Topics: []string{"a"}, HandoverTimeout: -1},
	} {
		_, err := b.NewConsumer(t.Context(), opts)
		assert.ErrorIs(t, err, broker.CodeInvalidArgument, name)
	}
}
