//go:build synctests

package kafka

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka up to 4.1 knows the topics of positions by their names alone.
func byName(o *Options, _ *broker.ConsumerOptions) {
	versions := kversionBefore(kmsg.OffsetCommit, 10)
	versions.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	o.ClientOptions = append(o.ClientOptions, kgo.MaxVersions(versions))
	o.CommitInterval = 500 * time.Millisecond
}

// createTopicAgain deletes the topic, makes another of its name, and stores messages
// in it.
func (e *env) createTopicAgain(count int) {
	e.Helper()
	_, err := e.admin.DeleteTopic(e.Context(), testTopic)
	require.NoError(e, err)
	_, err = e.admin.CreateTopic(e.Context(), 1, 1, nil, testTopic)
	require.NoError(e, err)
	e.client.PurgeTopicsFromClient(testTopic)
	e.produce(0, 0, count)
}

// What is ACKed of a topic that was deleted must not count in another of its name.
func TestPositionsOfADeletedTopicAreNotCommittedInItsSuccessor(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(byName)
		c.pollMessages(0, 10)
		e.createTopicAgain(3)
		time.Sleep(time.Second) // its fetches fail by now
		c.ackAll(0)
		for range 30 {
			time.Sleep(100 * time.Millisecond)
			assert.EqualValues(e, -1, e.committed(0))
		}
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		begin := time.Now()
		c.close()
		assert.Less(e, time.Since(begin), 2*time.Second)
		assert.EqualValues(e, -1, e.committed(0), "not at the end either")
		c = e.open(byName)
		c.pollMessages(0, 3)
	})
}

// That nothing can be committed for a topic that is gone is no trouble of its own.
func TestCommitsOfADeletedTopicAreNoTrouble(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(byName)
		c.pollMessages(0, 10)
		commits := e.cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.UnknownTopicOrPartition, Count: -1,
		})
		c.ackAll(0)
		require.NoError(e, commits.Wait(e.Context(), 1))
		_, err := e.admin.DeleteTopic(e.Context(), testTopic)
		require.NoError(e, err)
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		assert.Empty(e, eventsOf[broker.EventAckTrouble](c))
	})
}

// Such a commit may come all the same, from another server or late. Its position
// counts for nothing.
func TestPositionOfAnotherTopicIsNone(t *testing.T) {
	for name, start := range map[string]broker.StartPosition{"earliest": broker.StartEarliest, "latest": broker.StartLatest} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				from := func(_ *Options, o *broker.ConsumerOptions) { o.Start = start }
				c := e.open(byName, from)
				c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
				e.produce(0, 0, 10)
				c.pollMessages(0, 10)
				c.ackAll(0)
				c.close()
				require.EqualValues(e, 10, e.committed(0))
				late, err := e.admin.FetchOffsets(e.Context(), "billing")
				require.NoError(e, err)

				e.createTopicAgain(20)
				require.NoError(e, e.admin.CommitAllOffsets(e.Context(), "billing", late.Offsets()))
				require.EqualValues(e, 10, e.committed(0))
				c = e.open(byName, from)
				c.pollMessages(0, 20)
				assert.Equal(e, numbers(0, 20), values(c.messages[0]), "from the first")
				c.ackAll(0)
				c.close()
				require.EqualValues(e, 20, e.committed(0))

				e.produce(0, 20, 5)
				c = e.open(byName, from)
				c.pollMessages(0, 5)
				assert.Equal(e, numbers(20, 5), values(c.messages[0]), "its own position counts")
			})
		})
	}
}

// A subscription that began at the latest message reads a topic that was created
// again from its first: it is older than the topic, though Kafka has forgotten it.
func TestStartLatestReadsATopicThatWasCreatedAgainFromItsFirst(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		opts := Options{Brokers: e.cluster.ListenAddrs(), ClientOptions: e.clientOptions()}
		byName(&opts, nil)
		b, err := New(opts)
		require.NoError(e, err)
		open := func() *testConsumer {
			c, err := b.NewConsumer(e.Context(), broker.ConsumerOptions{
				Subscription: "billing", Topics: []string{testTopic}, Start: broker.StartLatest,
			})
			require.NoError(e, err)
			tc := &testConsumer{consumer: c.(*consumer), env: e}
			e.Cleanup(tc.close)
			return tc
		}
		e.produce(0, 0, 10)
		c := open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		e.createTopicAgain(20)
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		c.close()
		_, err = e.admin.DeleteOffsets(e.Context(), "billing", kadm.TopicsSet{testTopic: {0: {}}})
		require.NoError(e, err) // as Kafka does
		require.EqualValues(e, -1, e.committed(0))

		c = open()
		c.pollMessages(0, 20)
		assert.Equal(e, numbers(0, 20), values(c.messages[0]))
		c.close() // and ACKs nothing

		b, err = New(opts) // another server
		require.NoError(e, err)
		c = open()
		c.pollMessages(0, 20)
		assert.Equal(e, numbers(0, 20), values(c.messages[0]), "that it begins there is written down")
	})
}

// A position that a tool has written is taken as it is.
func TestPositionWithoutANoteCounts(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		var at kadm.Offsets
		at.AddOffset(testTopic, 0, 7, -1)
		require.NoError(e, e.admin.CommitAllOffsets(e.Context(), "billing", at))
		c := e.open()
		c.pollMessages(0, 3)
		assert.Equal(e, numbers(7, 3), values(c.messages[0]))
	})
}
