//go:build synctests

package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A bubble ends only when all its goroutines have, so each of these tests, and
// of the others, also shows that Close leaves nothing running.

// groupMembers is how many members the group has for Kafka.
func (e *env) groupMembers() int {
	e.Helper()
	groups, err := e.admin.DescribeGroups(e.Context(), "billing")
	require.NoError(e, err)
	return len(groups["billing"].Members)
}

func TestCloseCommitsAndLeaves(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2, 3)
		assert.Equal(e, 1, e.groupMembers())
		begin := time.Now()
		require.NoError(e, c.Close(e.Context()))
		assert.Less(e, time.Since(begin), time.Second)
		assert.EqualValues(e, 4, e.committed(0))
		assert.Zero(e, e.groupMembers(), "at once, not after the session timeout")
		assert.NoError(e, c.Close(e.Context()), "twice")

		_, err := c.PollMessages(e.Context())
		assert.ErrorIs(e, err, broker.ErrClosed)
		c.ack(0, 5)
		c.PausePartitions(tp(0))
		c.ResumePartitions(tp(0))
		c.Release(tp(0))
	})
}

func TestCloseWakesPoll(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		polled := make(chan error, 1)
		go func() {
			_, err := c.PollMessages(context.Background())
			polled <- err
		}()
		time.Sleep(time.Second)
		require.NoError(e, c.Close(e.Context()))
		assert.ErrorIs(e, <-polled, broker.ErrClosed)
	})
}

func TestCloseRetriesItsCommit(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2, 3)
		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 3})
		require.NoError(e, c.Close(e.Context()))
		assert.EqualValues(e, 4, e.committed(0))
	})
}

// A consumer whose last commits are not answered leaves all the same: Kafka refuses what
// is carried out of them later, which would take the position back.
func TestCloseLeavesWithoutAnswersToItsCommits(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		var late *kmsg.OffsetCommitRequest
		left := false
		e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			if left {
				return nil, nil, false
			}
			if late == nil {
				late = cloneCommit(req.(*kmsg.OffsetCommitRequest))
			}
			return nil, nil, true // no answer, ever
		})
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		c.pollFor(DefaultCommitInterval + time.Second)
		require.NotNil(e, late)
		c.ack(0, 3, 4)
		closeBounded(e, c)
		assert.Zero(e, e.groupMembers())
		left = true

		resp, err := late.RequestWith(e.Context(), e.client)
		require.NoError(e, err)
		assert.Equal(e, kerr.IllegalGeneration.Code, resp.Topics[0].Partitions[0].ErrorCode)
	})
}

func closeBounded(e *env, c *testConsumer) {
	e.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
	defer cancel()
	assert.ErrorIs(e, c.Close(ctx), context.DeadlineExceeded)
	assert.Less(e, time.Since(begin), 11*time.Second)
}

func TestCloseIsBoundedWhileTheClusterIsUnreachable(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		w := newLink(e)
		e.produce(0, 0, 10)
		c := e.open(over(w))
		c.pollMessages(0, 10)
		c.ack(0, 0)
		w.cut()
		closeBounded(e, c)
	})
}

func TestCloseIsBoundedWhileTheClusterIsFrozen(t *testing.T) {
	for name, acked := range map[string]bool{"with ACKs": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(e *env) {
				w := newLink(e)
				e.produce(0, 0, 10)
				c := e.open(over(w))
				c.pollMessages(0, 10)
				if acked {
					c.ack(0, 0)
				}
				w.freeze(":")
				closeBounded(e, c)
			})
		})
	}
}

func TestCloseIsBoundedWhileJoiningAFrozenCluster(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			return nil, nil, true // no answer, ever
		})
		c := e.open()
		time.Sleep(time.Second) // it has a member id by now, or waits for one
		begin := time.Now()
		ctx, cancel := context.WithTimeout(e.Context(), 10*time.Second)
		defer cancel()
		_ = c.Close(ctx)
		assert.Less(e, time.Since(begin), 11*time.Second)
	})
}

// Close must not wait for other members: the one that is to give a partition up
// takes its time.
func TestCloseDuringARebalance(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		a := e.open()
		a.pollUntil("it is assigned", func() bool { return len(a.assigned) == 2 })
		b := e.open()
		for len(eventsOf[broker.EventRevoking](a)) == 0 {
			a.pollFor(100 * time.Millisecond)
		}
		begin := time.Now()
		require.NoError(e, b.Close(e.Context()))
		assert.Less(e, time.Since(begin), 3*time.Second)
		assert.Equal(e, 1, e.groupMembers())
		begin = time.Now()
		require.NoError(e, a.Close(e.Context()))
		assert.Less(e, time.Since(begin), 3*time.Second)
	})
}

func TestCloseWhileRevoking(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		a := e.open()
		a.pollMessages(0, 10)
		a.pollMessages(1, 10)
		b := e.open()
		pollBoth(e, a, b, "a partition is revoked", func() bool { return len(eventsOf[broker.EventRevoking](a)) == 1 })
		a.ack(0, 0, 1)
		a.ack(1, 0, 1)
		begin := time.Now()
		require.NoError(e, a.Close(e.Context()))
		assert.Less(e, time.Since(begin), 3*time.Second)
		b.pollMessages(0, 8)
		b.pollMessages(1, 8)
		assert.Equal(e, numbers(2, 8), values(b.messages[0]))
		assert.Equal(e, numbers(2, 8), values(b.messages[1]))
	})
}

func TestUnknownTopicOpensNothing(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		b, err := New(Options{Brokers: e.cluster.ListenAddrs(), ClientOptions: e.clientOptions()})
		require.NoError(e, err)
		begin := time.Now()
		_, err = b.NewConsumer(e.Context(), broker.ConsumerOptions{Subscription: "billing", Topics: []string{testTopic, "missing"}})
		assert.ErrorIs(e, err, broker.CodeTopicNotFound)
		assert.ErrorContains(e, err, "missing")
		assert.LessOrEqual(e, time.Since(begin), 10*time.Second)
		assert.Zero(e, e.groupMembers())
	})
}

func TestOpenIsBoundedWhileTheClusterIsFrozen(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		w := newLink(e)
		w.freeze(":")
		b, err := New(Options{Brokers: e.cluster.ListenAddrs(), ClientOptions: append(e.clientOptions(), kgo.Dialer(w.dial))})
		require.NoError(e, err)
		begin := time.Now()
		_, err = b.NewConsumer(e.Context(), broker.ConsumerOptions{Subscription: "billing", Topics: []string{testTopic}})
		assert.ErrorIs(e, err, broker.CodeUnavailable)
		assert.LessOrEqual(e, time.Since(begin), 10*time.Second)
	})
}
