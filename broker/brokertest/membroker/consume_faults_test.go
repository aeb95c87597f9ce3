package membroker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

var options = broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders"}}

func failure(retryable bool) *broker.Error {
	return &broker.Error{Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: retryable}
}

func TestPollsFailUntilHealed(t *testing.T) {
	for _, subscription := range []string{"s", membroker.AllSubscriptions} {
		inBubble(t, membroker.Options{RetryInterval: time.Second}, func(t *testing.T, b *membroker.Broker) {
			m := join(t, b, options)
			m.poll()
			m.take()
			b.FailPolls(subscription, failure(true))
			produce(t, b, "orders", 0, "a")
			m.poll()
			require.Equal(t, "broker unavailable ", m.take(), "at once")
			begin := time.Now()
			_, err := m.PollMessages(t.Context())
			require.ErrorIs(t, err, broker.CodeUnavailable)
			require.Equal(t, time.Second, time.Since(begin), "after the interval")
			b.FailPolls(subscription, nil)
			m.poll()
			require.Equal(t, "a ", m.take())
		})
	}
}

func TestAPollThatWaitsLearnsOfTroubleAndOfItsEnd(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		m := join(t, b, options)
		m.poll()
		var errs []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 2 {
				_, err := m.PollMessages(context.Background())
				errs = append(errs, err)
			}
		}()
		synctest.Wait()
		require.Empty(t, errs)
		b.SetReachable(false)
		synctest.Wait()
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], broker.CodeUnavailable)
		b.SetReachable(true)
		<-done
		require.NoError(t, errs[1], "no events, but the trouble is over")
	})
}

func TestOtherSubscriptionsAreNotAffected(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		b.FailPolls("another", failure(true))
		b.FailAcks("another", failure(true))
		produce(t, b, "orders", 0, "a")
		m := join(t, b, options)
		m.poll()
		m.Ack(m.ids...)
		m.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a ", m.take())
		require.Equal(t, []uint64{0}, b.Acked("s", orders))
	})
}

func TestAConsumerDoesNotRecoverFromWhatIsNotRetryable(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		m := join(t, b, options)
		b.FailPolls("s", failure(false))
		m.poll()
		b.FailPolls("s", nil)
		m.poll()
		require.Len(t, m.errs, 2)
		require.NoError(t, m.Close(t.Context()))
		next := join(t, b, options)
		next.poll()
		require.Empty(t, next.errs)
		b.BreakConsumers("s", failure(false))
		next.poll()
		require.Len(t, next.errs, 1)
	})
}

func TestAcksFailUntilHealed(t *testing.T) {
	inBubble(t, membroker.Options{TroubleInterval: 5 * time.Second}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a", "b", "c")
		m := join(t, b, options)
		m.poll()
		ids := m.ids
		m.take()
		b.FailAcks("s", failure(true))
		m.poll()
		require.Empty(t, m.take(), "no trouble without ACKs")
		m.Ack(ids[0], ids[2])
		m.poll()
		require.Equal(t, "broker.EventAckTrouble{Err:broker unavailable} ", m.take())
		require.Empty(t, b.Acked("s", orders))
		require.Equal(t, 3, b.Partition("s", orders).Outstanding)
		time.Sleep(5 * time.Second)
		m.poll()
		require.Equal(t, "broker.EventAckTrouble{Err:broker unavailable} ", m.take(), "again")
		b.FailAcks("s", nil)
		m.poll()
		require.Equal(t, "broker.EventAckRecovered{} ", m.take())
		require.Equal(t, []uint64{0, 2}, b.Acked("s", orders))
		require.Equal(t, 1, b.Partition("s", orders).Outstanding)
	})
}

func TestAcksThatAreNotDurableAreLostWithTheirPartition(t *testing.T) {
	inBubble(t, membroker.Options{AckDelay: time.Minute}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a", "b")
		m := join(t, b, options)
		m.poll()
		m.Ack(m.ids[0])
		m.take()
		require.Equal(t, 2, b.Partition("s", orders).Outstanding)
		b.Lose("s", orders)
		m.poll()
		require.Equal(t, "broker.EventLost{Partitions:[orders/0]} ", m.take())
		require.Nil(t, b.Partition("s", orders).Consumer)
		time.Sleep(time.Minute)
		m.poll()
		require.Empty(t, m.take(), "until it is given back")
		b.GiveBack("s", orders)
		m.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a b ", m.take())
	})
}

func TestAcksBecomeDurableAfterTheirDelay(t *testing.T) {
	inBubble(t, membroker.Options{AckDelay: time.Minute}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a", "b")
		m := join(t, b, options)
		m.poll()
		begin := time.Now()
		m.Ack(m.ids[0])
		time.Sleep(30 * time.Second)
		m.Ack(m.ids[1]) // with the first
		time.Sleep(time.Until(begin.Add(time.Minute - time.Millisecond)))
		first, positioned := b.FirstUnacked("s", orders)
		require.True(t, positioned)
		require.Zero(t, first)
		time.Sleep(2 * time.Millisecond)
		first, _ = b.FirstUnacked("s", orders)
		require.EqualValues(t, 2, first)
		require.Zero(t, b.Partition("s", orders).Outstanding)
	})
}

func TestPrefixAcksKeepOnePosition(t *testing.T) {
	inBubble(t, membroker.Options{PrefixAcks: true}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a", "b")
		require.NoError(t, b.SkipPositions(orders, 5))
		produce(t, b, "orders", 0, "c", "d")
		m := join(t, b, options)
		m.poll()
		m.Ack(m.ids[3], m.ids[1])
		require.Equal(t, 4, b.Partition("s", orders).Outstanding)
		m.Ack(m.ids[0])
		require.Equal(t, 2, b.Partition("s", orders).Outstanding)
		first, _ := b.FirstUnacked("s", orders)
		require.EqualValues(t, 2, first)
		require.NoError(t, m.Close(t.Context()))
		next := join(t, b, options)
		next.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} c d ", next.take())
	})
}

func TestAReleaseWaitsForItsAcksButNotForever(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		opts := options
		opts.HandoverTimeout = 4 * time.Second
		produce(t, b, "orders", 0, "a")
		m := join(t, b, opts)
		m.poll()
		b.Revoke("s", orders)
		b.FailAcks("s", failure(true))
		m.Ack(m.ids...)
		m.take()
		m.Release(orders)
		m.poll()
		require.Equal(t, "broker.EventRevoking{Partitions:[orders/0] TimeLeft:4s} broker.EventAckTrouble{Err:broker unavailable} ", m.take())
		require.True(t, b.Partition("s", orders).Revoking)
		time.Sleep(4 * time.Second)
		m.poll()
		require.Equal(t, "broker.EventLost{Partitions:[orders/0]} broker.EventAckRecovered{} ", m.take())
		b.FailAcks("s", nil)
		b.GiveBack("s", orders)
		m.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a ", m.take())
	})
}

func TestNewConsumerCanBeHeld(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		release := b.HoldNewConsumers()
		begin := time.Now()
		_, err := b.NewConsumer(t.Context(), options)
		require.ErrorIs(t, err, broker.CodeUnavailable)
		require.Equal(t, 10*time.Second, time.Since(begin))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.NewConsumer(ctx, options)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.AfterFunc(3*time.Second, release)
		begin = time.Now()
		join(t, b, options)
		require.Equal(t, 3*time.Second, time.Since(begin))
		release() // twice is no fault
		join(t, b, options)
	})
}

func TestCloseCanBeHeld(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		release := b.HoldCloses()
		first, second := join(t, b, options), join(t, b, options)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, first.Close(ctx), context.DeadlineExceeded)
		require.Equal(t, 1, b.Consumers("s"), "it leaves all the same")
		time.AfterFunc(time.Minute, release)
		begin := time.Now()
		require.NoError(t, second.Close(t.Context()))
		require.Equal(t, time.Minute, time.Since(begin))
		require.Zero(t, b.Consumers("s"))
	})
}

func TestCloseWaitsForItsAcksWhileItMay(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a")
		b.FailAcks("s", failure(true))
		m := join(t, b, options)
		m.poll()
		m.Ack(m.ids...)
		time.AfterFunc(time.Second, func() { b.FailAcks("s", nil) })
		require.NoError(t, m.Close(t.Context()))
		require.Equal(t, []uint64{0}, b.Acked("s", orders))
	})
}

func TestCloseOfTheBrokerEndsWhatIsOpen(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		s := openSender(t, b, broker.ProducerOptions{})
		m := join(t, b, options)
		b.SetReachable(false)
		s.send("a")
		require.NoError(t, b.Close())
		require.Equal(t, []string{"closed"}, s.take())
		_, err := m.PollMessages(t.Context())
		require.ErrorIs(t, err, broker.ErrClosed)
		require.NoError(t, b.Close())
	})
}
