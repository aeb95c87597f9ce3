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
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pollBoth polls two consumers until done.
func pollBoth(e *env, a, b *testConsumer, what string, done func() bool) {
	e.Helper()
	for range 3000 {
		if done() {
			return
		}
		a.pollFor(10 * time.Millisecond)
		b.pollFor(10 * time.Millisecond)
	}
	require.FailNow(e, "timed out waiting until "+what)
}

func TestRevokedPartitionWaitsForRelease(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		a := e.open()
		a.pollMessages(0, 10)
		a.pollMessages(1, 10)
		a.ack(0, 0, 1, 2)
		a.ack(1, 0, 1, 2)

		b := e.open()
		var revoking []broker.EventRevoking
		pollBoth(e, a, b, "a partition is revoked", func() bool {
			revoking = eventsOf[broker.EventRevoking](a)
			return len(revoking) == 1
		})
		moving := revoking[0].Partitions[0].Partition
		assert.Len(e, revoking[0].Partitions, 1)
		assert.Equal(e, defaultHandoverTimeout, revoking[0].TimeLeft)

		staying := 1 - moving
		e.produce(staying, 10, 5)
		e.produce(moving, 10, 5)
		a.pollMessages(staying, 15) // the other partition flows meanwhile
		assert.Len(e, a.messages[moving], 10, "no messages of a partition that is revoked")
		assert.Empty(e, eventsOf[broker.EventLost](a))

		a.ack(moving, 3, 4) // late ACKs count
		a.Release(tp(moving), tp(staying))
		pollBoth(e, a, b, "the partition has moved", func() bool { return len(b.messages[moving]) == 10 })
		assert.Equal(e, []broker.EventLost{{Partitions: revoking[0].Partitions}}, eventsOf[broker.EventLost](a))
		assert.Equal(e, numbers(5, 10), values(b.messages[moving]))
		assert.EqualValues(e, 5, e.committed(moving))

		a.ack(moving, 5, 6, 7, 8, 9) // too late
		b.ack(moving, 5)
		time.Sleep(2 * DefaultCommitInterval)
		assert.EqualValues(e, 6, e.committed(moving))
		assert.EqualValues(e, 3, e.committed(staying))
	})
}

func TestRevokedPartitionIsReleasedWhenTimeIsUp(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		a := e.open()
		a.pollMessages(0, 10)
		a.pollMessages(1, 10)
		b := e.open()
		pollBoth(e, a, b, "a partition is revoked", func() bool { return len(eventsOf[broker.EventRevoking](a)) == 1 })
		moving := eventsOf[broker.EventRevoking](a)[0].Partitions[0].Partition
		begin := time.Now()
		pollBoth(e, a, b, "it is lost", func() bool { return len(eventsOf[broker.EventLost](a)) == 1 })
		assert.InDelta(e, defaultHandoverTimeout.Seconds(), time.Since(begin).Seconds(), 0.5)
		pollBoth(e, a, b, "the other one has it", func() bool { return len(b.messages[moving]) == 10 })
		assert.Equal(e, numbers(0, 10), values(b.messages[moving]))
	})
}

func TestPartitionsComeBackWhenAConsumerLeaves(t *testing.T) {
	inBubble(t, 4, func(e *env) {
		for p := range int32(4) {
			e.produce(p, 0, 10)
		}
		a, b := e.open(), e.open()
		shared := func() bool { return len(a.assigned) == 2 && len(b.assigned) == 2 }
		release := func(c *testConsumer) {
			for _, r := range eventsOf[broker.EventRevoking](c) {
				c.Release(r.Partitions...)
			}
		}
		pollBoth(e, a, b, "both have two", func() bool { release(a); release(b); return shared() })
		for _, p := range b.assigned {
			pollBoth(e, a, b, "messages", func() bool { return len(b.messages[p]) == 10 })
			b.ack(p, 0, 1)
			b.PausePartitions(tp(p))
		}
		taken := append([]int32(nil), b.assigned...)
		b.close()
		a.messages = nil
		a.pollUntil("it has all", func() bool { return len(a.assigned) == 4 })
		for _, p := range taken {
			a.pollMessages(p, 8)
			assert.Equal(e, numbers(2, 8), values(a.messages[p]))
		}
	})
}

// A partition that is lost and assigned again is delivered from the committed
// position on, and nothing of before comes in between.
func TestLostPartitionBeginsAnew(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open(withWindow(5)) // paused by its window when it goes
		c.pollMessages(0, 10)
		c.PausePartitions(tp(0))
		c.ack(0, 0, 1, 2)
		time.Sleep(2 * DefaultCommitInterval)
		require.EqualValues(e, 3, e.committed(0))

		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
		c.pollUntil("it is lost", func() bool { return len(eventsOf[broker.EventLost](c)) == 1 })
		c.messages = nil
		c.pollMessages(0, 7)
		assert.Equal(e, numbers(3, 7), values(c.messages[0]), "and it isn't paused any more")
		c.ackAll(0)
		time.Sleep(2 * DefaultCommitInterval)
		assert.EqualValues(e, 10, e.committed(0))
		assert.Zero(e, c.errs, "that was no trouble")
	})
}

// Under load, with partitions that come and go, each consumer sees ascending
// positions in an assignment, and together they see everything.
func TestNothingIsLostOrStaleWhilePartitionsMove(t *testing.T) {
	for range 20 {
		inBubble(t, 6, func(e *env) {
			ctx, stop := context.WithCancel(e.Context())
			defer stop()
			produced := 0
			a := e.open()
			var others []*testConsumer
			seen := make(map[int32]map[string]bool)
			for p := range int32(6) {
				seen[p] = make(map[string]bool)
			}
			check := func(c *testConsumer) { checkOrder(ctx, e, c, seen) }
			for round := range 12 {
				for p := range int32(6) {
					e.produce(p, produced, 50)
				}
				produced += 50
				switch round % 4 {
				case 1:
					others = append(others, e.open())
				case 2:
					e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
				case 3:
					others[0].close()
					others = others[1:]
				}
				for range 10 {
					check(a)
					for _, o := range others {
						check(o)
					}
				}
			}
			complete := func() bool {
				for p := range int32(6) {
					if len(seen[p]) != produced {
						return false
					}
				}
				return true
			}
			for range 1000 {
				check(a)
				for _, o := range others {
					check(o)
				}
				if complete() {
					break
				}
			}
			assert.True(e, complete(), "everything was received")
		})
	}
}

// checkOrder polls once, ACKs everything, and checks the events against the
// contract.
func checkOrder(ctx context.Context, e *env, c *testConsumer, seen map[int32]map[string]bool) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if c.positions == nil {
		c.positions = make(map[int32]int64)
	}
	events, _ := c.PollMessages(ctx)
	for _, event := range events {
		switch ev := event.(type) {
		case broker.EventAssigned:
			for _, p := range ev.Partitions {
				_, has := c.positions[p.Partition]
				require.False(e, has, "assigned twice")
				c.positions[p.Partition] = -1
			}
		case broker.EventRevoking:
			c.Release(ev.Partitions...)
		case broker.EventLost:
			for _, p := range ev.Partitions {
				require.Contains(e, c.positions, p.Partition)
				delete(c.positions, p.Partition)
			}
		case broker.EventMessages:
			last, has := c.positions[ev.Partition.Partition]
			require.True(e, has, "messages of a partition that isn't assigned")
			for _, m := range ev.Messages {
				require.Greater(e, int64(m.Position), last)
				last = int64(m.Position)
				seen[ev.Partition.Partition][string(m.Value)] = true
				c.Ack(broker.MessageID{Partition: ev.Partition, Position: m.Position})
			}
			c.positions[ev.Partition.Partition] = last
		}
	}
}

// What was fetched and not returned yet goes to the partition's next owner, and
// not to the caller who could only hold it up.
func TestQueuedMessagesOfARevokedPartitionAreNotReturned(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		a := e.open()
		a.pollUntil("it is assigned", func() bool { return len(a.assigned) == 2 })
		e.produce(0, 0, 10)
		e.produce(1, 0, 10)
		time.Sleep(time.Second) // fetched
		b := e.open()
		time.Sleep(DefaultSessionTimeout / 2) // told by a heartbeat, and revoked
		a.pollUntil("the revocation is told", func() bool { return len(eventsOf[broker.EventRevoking](a)) == 1 })
		moving := eventsOf[broker.EventRevoking](a)[0].Partitions[0].Partition
		assert.Empty(e, a.messages[moving])
		assert.Len(e, a.messages[1-moving], 10)
		a.Release(tp(moving))
		pollBoth(e, a, b, "the other one has it", func() bool { return len(b.messages[moving]) == 10 })
	})
}

func TestQueuedMessagesOfALostPartitionAreNotReturned(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		c := e.open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 1 })
		e.produce(0, 0, 10)
		time.Sleep(time.Second) // fetched
		e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true})
		time.Sleep(20 * time.Second) // lost, and assigned again
		c.pollMessages(0, 10)
		c.pollFor(time.Second)
		assert.Equal(e, numbers(0, 10), values(c.messages[0]), "once")
	})
}
