//go:build synctests

package kafka

import (
	"sync"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fromLatest(_ *Options, o *broker.ConsumerOptions) { o.Start = broker.StartLatest }

func TestStartLatestIsWrittenDownBeforeAnythingIsDelivered(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(fromLatest)
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 2 })
		c.pollFor(time.Second)
		assert.Empty(e, c.messages[0])
		assert.EqualValues(e, 10, e.committed(0))
		assert.EqualValues(e, 0, e.committed(1))
		e.produce(0, 10, 3)
		c.pollMessages(0, 3)
		c.close() // without an ACK

		e.produce(0, 13, 2)
		e.produce(1, 0, 2)
		c = e.open(fromLatest)
		c.pollMessages(0, 5)
		c.pollMessages(1, 2)
		assert.Equal(e, numbers(10, 5), values(c.messages[0]), "nothing is skipped")
		assert.Equal(e, numbers(0, 2), values(c.messages[1]))
	})
}

func TestStartLatestWaitsUntilItIsWrittenDown(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		handle := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorNotAvailable, Count: -1})
		c := e.open(fromLatest)
		c.pollFor(20 * time.Second)
		assert.Empty(e, c.assigned)
		assert.NotEmpty(e, eventsOf[broker.EventAckTrouble](c))
		handle.Remove()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		assert.EqualValues(e, 10, e.committed(0))
		e.produce(0, 10, 3)
		c.pollMessages(0, 3)
		assert.Equal(e, numbers(10, 3), values(c.messages[0]))
	})
}

// The topic becomes another one while the consumer asks where to begin, or writes
// that down: that will never succeed for the old one.
func TestTopicThatIsCreatedAgainWhileItStarts(t *testing.T) {
	for name, at := range map[string]kmsg.Key{"while it asks": kmsg.Metadata, "while it writes that down": kmsg.OffsetCommit} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				e.produce(0, 0, 10)
				started, recreated := false, false
				e.cluster.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
					started = true // the client has its assignment, and asks for positions
					return nil, nil, false
				})
				e.cluster.ControlKey(int16(at), func(kmsg.Request) (kmsg.Response, error, bool) {
					if started && !recreated {
						recreated = true
						assert.NoError(e, e.cluster.DeleteTopic(testTopic))
						assert.NoError(e, e.cluster.CreateTopic(testTopic, 1, nil))
					}
					return nil, nil, false
				})
				c := e.open(fromLatest)
				begin := time.Now()
				c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
				assert.Less(e, time.Since(begin), 10*time.Second)
				require.ErrorIs(e, c.err, broker.CodeTopicNotFound)
				c.close()

				c = e.open(fromLatest)
				c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
				e.client.PurgeTopicsFromClient(testTopic)
				e.produce(0, 10, 3)
				c.pollMessages(0, 3)
			})
		})
	}
}

// The client itself finds that partitions which were assigned don't exist any more, once
// it has read the metadata again.
func TestTopicThatIsCreatedAgainWithFewerPartitionsWhileItStarts(t *testing.T) {
	inBubble(t, 3, func(e *env) {
		recreate := sync.OnceFunc(func() {
			assert.NoError(e, e.cluster.DeleteTopic(testTopic))
			assert.NoError(e, e.cluster.CreateTopic(testTopic, 1, nil))
		})
		e.cluster.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			recreate()
			return nil, nil, false
		})
		c := e.open()
		c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
		require.ErrorIs(e, c.err, broker.CodeTopicNotFound)
		c.close()

		c = e.open()
		e.client.PurgeTopicsFromClient(testTopic)
		e.produce(0, 0, 3)
		c.pollMessages(0, 3)
	})
}

func TestPartitionsAddedLaterBeginAtTheEarliest(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(fromLatest)
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 2 })
		c.pollFor(time.Second)
		c.ackAll(0)

		_, err := e.admin.CreatePartitions(e.Context(), 2, testTopic)
		require.NoError(e, err)
		e.client.ForceMetadataRefresh()
		time.Sleep(time.Second)
		e.produce(3, 0, 5)
		c.pollMessages(3, 5) // it finds them by itself
		assert.Equal(e, numbers(0, 5), values(c.messages[3]))
		c.ackAll(3)
		c.close()

		c = e.open(fromLatest)
		e.produce(2, 0, 5) // nothing was ever committed of it
		e.produce(0, 10, 5)
		c.pollMessages(2, 5)
		c.pollMessages(0, 5)
		assert.Equal(e, numbers(10, 5), values(c.messages[0]))
	})
}

// Two consumers that open a new subscription together both begin at the latest,
// whichever writes its positions down first.
func TestStartLatestWithSeveralConsumers(t *testing.T) {
	inBubble(t, 6, func(e *env) {
		for p := range int32(6) {
			e.produce(p, 0, 10)
		}
		a, b := e.open(fromLatest), e.open(fromLatest)
		release := func(c *testConsumer) {
			for _, r := range eventsOf[broker.EventRevoking](c) {
				c.Release(r.Partitions...)
			}
		}
		pollBoth(e, a, b, "both have three", func() bool {
			release(a)
			release(b)
			return len(a.assigned) == 3 && len(b.assigned) == 3
		})
		for p := range int32(6) {
			e.produce(p, 10, 2)
		}
		a.pollFor(time.Second)
		b.pollFor(time.Second)
		for p := range int32(6) {
			assert.Equal(e, numbers(10, 2), values(append(a.messages[p], b.messages[p]...)))
		}
	})
}

// A subscription that has begun at the earliest has nothing to skip, even in
// partitions in which it hasn't ACKed anything yet.
func TestStartLatestDoesNotSkipWhatABegunSubscriptionHasToRead(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 5)
		e.produce(1, 0, 5)
		c := e.open()
		c.pollMessages(0, 5)
		c.pollMessages(1, 5)
		c.ack(0, 0)
		c.close()
		c = e.open(fromLatest)
		c.pollMessages(0, 4)
		c.pollMessages(1, 5)
	})
}

func TestStartEarliestCommitsNothingByItself(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 5)
		c := e.open()
		c.pollMessages(0, 5)
		c.close()
		offsets, err := e.admin.FetchOffsets(e.Context(), "billing")
		require.NoError(e, err)
		assert.Equal(e, kadm.OffsetResponses{}, offsets)
	})
}

// The group is joined again before the start is written down: the subscription
// begins where it was to begin at first.
func TestStartLatestStaysWhileTheGroupIsJoinedAgain(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		handle := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorNotAvailable, Count: -1})
		c := e.open(fromLatest)
		c.pollFor(5 * time.Second)
		e.produce(0, 10, 3)
		joins := c.commits.joins
		c.client.ForceRebalance()
		c.pollUntil("it has joined again", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.commits.joins > joins
		})
		handle.Remove()
		c.pollMessages(0, 3)
		assert.Equal(e, numbers(10, 3), values(c.messages[0]))
		c.ackAll(0)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 13, e.committed(0))
	})
}
