//go:build synctests

package kafka

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// checkTrouble polls a consumer whose cluster can't be reached, ends that, and
// checks what the contract says of it.
func checkTrouble(e *env, c *testConsumer, end func()) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
	defer cancel()
	var err error
	for err == nil {
		err = c.poll(ctx)
	}
	require.NoError(e, ctx.Err(), "an error comes within 10 s")
	for range 10 {
		assert.ErrorIs(e, err, broker.CodeUnavailable)
		assert.True(e, broker.IsRetryable(err))
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		err = c.poll(ctx)
		require.NoError(e, ctx.Err(), "and again within 10 s")
		cancel()
	}
	end()
	begin := time.Now()
	c.pollUntil("it is over", func() bool {
		ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
		defer cancel()
		err := c.poll(ctx)
		require.NoError(e, ctx.Err())
		return err == nil
	})
	assert.Less(e, time.Since(begin), 10*time.Second)
}

func TestUnreachableClusterIsTold(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		w := newLink(e)
		e.produce(0, 0, 10)
		c := e.open(over(w))
		c.pollMessages(0, 10)
		c.pollFor(time.Minute)
		require.Zero(e, c.errs, "idle is no trouble")
		c.ack(0, 0) // with a commit that fails, all is forgotten about the cluster in the end
		w.cut()
		checkTrouble(e, c, w.mend)
		e.produce(0, 10, 5)
		c.pollUntil("messages come again", func() bool {
			return len(c.messages[0]) > 0 && string(c.messages[0][len(c.messages[0])-1].Value) == "14"
		})
	})
}

func TestFrozenClusterIsTold(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		w := newLink(e)
		e.produce(0, 0, 10)
		c := e.open(over(w))
		c.pollMessages(0, 10)
		c.ack(0, 0)
		w.freeze(":")
		checkTrouble(e, c, w.thaw)
		c.errs = 0
		e.produce(0, 10, 5)
		c.pollUntil("messages come again", func() bool {
			return len(c.messages[0]) > 0 && string(c.messages[0][len(c.messages[0])-1].Value) == "14"
		})
		c.pollFor(time.Minute)
		assert.Zero(e, c.errs)
	})
}

func TestUnreachableWhileJoining(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		w := newLink(e)
		c := e.open(over(w))
		w.cut()
		checkTrouble(e, c, w.mend)
		c.pollUntil("it joins", func() bool { return len(c.assigned) == 1 })
	})
}

// One broker of three is gone, and holds the partition.
func TestOneBrokerUnreachable(t *testing.T) {
	inBubble(t, 3, func(e *env) {
		w := newLink(e)
		c := e.open(over(w))
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 3 })
		w.freeze(e.cluster.ListenAddrs()[e.cluster.LeaderFor(testTopic, 0)])
		checkTrouble(e, c, w.thaw)
	}, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
}

func TestFailingFetchesAreTold(t *testing.T) {
	for _, fault := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownServerError} {
		t.Run(fault.Message, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				c := e.open()
				c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
				handle := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: testTopic, Err: fault, Count: -1})
				ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
				defer cancel()
				var err error
				for err == nil {
					err = c.poll(ctx)
				}
				require.NoError(e, ctx.Err())
				assert.True(e, broker.IsRetryable(err))
				handle.Remove()
				c.pollUntil("it is over", func() bool { return c.poll(e.Context()) == nil })
				e.produce(0, 0, 1)
				c.pollMessages(0, 1)
			})
		})
	}
}

func TestMovedLeaderIsNoTrouble(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		for i := range 10 {
			require.NoError(e, e.cluster.MoveTopicPartition(testTopic, 0, int32(i%3)))
			e.produce(0, i, 1)
			c.pollMessages(0, i+1)
		}
		assert.Equal(e, numbers(0, 10), values(c.messages[0]))
		assert.Zero(e, c.errs)
		assert.Empty(e, eventsOf[broker.EventLost](c))
	}, kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094))
}

func TestDeletedTopicEndsTheConsumer(t *testing.T) {
	for name, recreate := range map[string]bool{"deleted": false, "created again": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				e.produce(0, 0, 1)
				c := e.open()
				c.pollMessages(0, 1)
				_, err := e.admin.DeleteTopic(e.Context(), testTopic)
				require.NoError(e, err)
				if recreate {
					_, err := e.admin.CreateTopic(e.Context(), 1, 1, nil, testTopic)
					require.NoError(e, err)
					e.client.PurgeTopicsFromClient(testTopic)
					e.produce(0, 0, 5)
				}
				c.pollUntil("it fails for good", func() bool { return c.err != nil && !broker.IsRetryable(c.err) })
				assert.ErrorIs(e, c.err, broker.CodeTopicNotFound)
				assert.Len(e, c.messages[0], 1)
				assert.Error(e, c.poll(e.Context()), "each poll fails")
				c.close()
				if recreate {
					c = e.open()
					c.pollMessages(0, 5)
				}
			})
		})
	}
}

func TestDeniedGroupIsTold(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		handle := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: -1})
		c := e.open()
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		defer cancel()
		var err error
		for err == nil {
			err = c.poll(ctx)
		}
		assert.ErrorIs(e, err, broker.CodePermissionDenied)
		handle.Remove()
		c.pollUntil("it joins", func() bool { return len(c.assigned) == 1 })
		assert.ErrorIs(e, c.poll(timeout(e, time.Second)), context.DeadlineExceeded, "nothing to tell")
	})
}

// timeout is a context that ends after d.
func timeout(e *env, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), d)
	e.Cleanup(cancel)
	return ctx
}

// Which brokers are needed changes while they don't answer; that alone doesn't end
// the trouble.
func TestTroubleOutlastsWhatIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{Brokers: []string{"localhost:9092"}})
		require.NoError(t, err)
		c := b.makeConsumer(broker.ConsumerOptions{Subscription: "billing", Topics: []string{testTopic}})
		defer c.cancel()
		review := func() *broker.Error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.reviewTroubleLocked(time.Now())
			return c.trouble.err
		}
		c.health.foundCoordinator(1)
		c.health.heardFrom(1)
		assert.Nil(t, review())
		time.Sleep(troubleSilence)
		assert.Nil(t, review(), "nobody was asked")
		require.True(t, c.health.beginPing(1, pingSilence))
		assert.False(t, c.health.beginPing(1, pingSilence), "it is being asked")
		c.health.endPing(1, context.DeadlineExceeded)
		assert.ErrorIs(t, review(), broker.CodeUnavailable)
		c.health.forgetCoordinator()
		assert.ErrorIs(t, review(), broker.CodeUnavailable)
		c.health.endPing(anyNode, io.EOF)
		assert.ErrorIs(t, review(), broker.CodeUnavailable)
		time.Sleep(time.Second)
		c.health.endPing(anyNode, nil)
		assert.Nil(t, review())
	})
}

// Between the look at the topics and the client's own, the topic was created
// again.
func TestAnotherTopicOfTheSameName(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		c.mu.Lock()
		c.partitions[tp(0)].topic = topicID{1}
		c.mu.Unlock()
		e.produce(0, 0, 1)
		var err error
		for err == nil {
			err = c.poll(timeout(e, 10*time.Second))
		}
		assert.ErrorIs(e, err, broker.CodeTopicNotFound)
		assert.False(e, broker.IsRetryable(err))
		assert.Empty(e, c.messages[0])
	})
}
