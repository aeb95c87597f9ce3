package membroker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest/membroker"
)

func TestATopicThatIsDeletedIsLostAndComesBackWhenCreatedAgain(t *testing.T) {
	inBubble(t, membroker.Options{Topics: map[string]int{"orders": 1, "invoices": 1}}, func(t *testing.T, b *membroker.Broker) {
		produce(t, b, "orders", 0, "a")
		m := join(t, b, broker.ConsumerOptions{Subscription: "s", Topics: []string{"orders", "invoices"}, Start: broker.StartLatest})
		m.poll()
		produce(t, b, "orders", 0, "b")
		m.poll()
		old := m.messages[0].ID
		m.take()
		require.NoError(t, b.DeleteTopic("orders"))
		produce(t, b, "invoices", 0, "i")
		m.poll()
		require.Equal(t, "broker.EventLost{Partitions:[orders/0]} i topic not found: topic \"orders\": the topic doesn't exist, or not any more; create it ", m.take())
		require.NoError(t, b.CreateTopic("orders", 1))
		produce(t, b, "orders", 0, "c")
		m.poll()
		require.NotEqual(t, old, m.messages[0].ID)
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} c ", m.take(), "from the earliest message on")
		_, ok := m.ResolveID(old)
		require.False(t, ok)
	})
}

func TestPartitionsThatAreAddedAreAssigned(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		opts := options
		opts.Start = broker.StartLatest
		m := join(t, b, opts)
		m.poll()
		m.take()
		require.NoError(t, b.AddPartitions("orders", 2))
		m.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/1]} ", m.take())
		require.NoError(t, m.Close(t.Context()))
		require.NoError(t, b.AddPartitions("orders", 3))
		produce(t, b, "orders", 2, "a")
		next := join(t, b, opts)
		next.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0 orders/1 orders/2]} a ", next.take())
	})
}

func TestMessagesThatExpireUndeliveredAreReported(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		opts := options
		opts.PartitionWindow = 2
		produce(t, b, "orders", 0, "a", "b", "c", "d", "e")
		m := join(t, b, opts)
		m.poll()
		ids := m.ids
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a b ", m.take())
		require.NoError(t, b.DeleteBefore(orders, 4))
		require.Equal(t, []string{"e"}, logged(b, orders))
		m.Ack(ids...)
		m.poll()
		require.Equal(t, "broker.EventExpired{Partition:orders/0 Count:2} e ", m.take())
		require.NoError(t, b.DeleteBefore(orders, 99))
		require.EqualValues(t, 5, b.End(orders))
		m.poll()
		require.Empty(t, m.take(), "it was delivered")
	})
}

func TestDeliveryGoesOnOverGaps(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		require.NoError(t, b.SkipPositions(orders, 3))
		produce(t, b, "orders", 0, "a")
		require.NoError(t, b.SkipPositions(orders, 1000))
		produce(t, b, "orders", 0, "b", "c")
		m := join(t, b, options)
		m.poll()
		require.Equal(t, []uint64{3, 1004, 1005}, []uint64{m.ids[0].Position, m.ids[1].Position, m.ids[2].Position})
		m.Ack(m.ids[1])
		require.NoError(t, m.Close(t.Context()))
		next := join(t, b, options)
		next.poll()
		require.Equal(t, "broker.EventAssigned{Partitions:[orders/0]} a c ", next.take())
	})
}

func TestPausesAndFullWindowsCanBeSeen(t *testing.T) {
	inBubble(t, membroker.Options{}, func(t *testing.T, b *membroker.Broker) {
		opts := options
		opts.PartitionWindow = 4
		produce(t, b, "orders", 0, "a", "b", "c", "d", "e", "f")
		m := join(t, b, opts)
		m.poll()
		require.Equal(t, membroker.PartitionState{Consumer: m.Consumer, WindowFull: true, Outstanding: 4}, b.Partition("s", orders))
		m.PausePartitions(orders)
		m.Ack(m.ids...)
		m.poll()
		require.Equal(t, membroker.PartitionState{Consumer: m.Consumer, Paused: true}, b.Partition("s", orders))
		m.ResumePartitions(orders)
		m.poll()
		require.Len(t, m.ids, 6)
		require.Equal(t, membroker.PartitionState{}, b.Partition("s", broker.TopicPartition{Topic: "another"}))
	})
}

func TestPartitionsAreSharedEvenlyAndMoveRarely(t *testing.T) {
	inBubble(t, membroker.Options{Topics: map[string]int{"orders": 10}}, func(t *testing.T, b *membroker.Broker) {
		opts := options
		opts.HandoverTimeout = time.Millisecond
		var members []*member
		held := func() (counts []int) {
			for _, m := range members {
				n := 0
				for p := range int32(10) {
					if b.Partition("s", broker.TopicPartition{Topic: "orders", Partition: p}).Consumer == m.Consumer {
						n++
					}
				}
				counts = append(counts, n)
			}
			return counts
		}
		for _, want := range [][]int{{10}, {5, 5}, {3, 4, 3}, {2, 3, 3, 2}} {
			members = append(members, join(t, b, opts))
			time.Sleep(10 * time.Millisecond)
			require.ElementsMatch(t, want, held())
		}
		require.NoError(t, members[0].Close(t.Context()))
		members = members[1:]
		require.ElementsMatch(t, []int{4, 3, 3}, held())
	})
}

func TestMistakesOfAdministratorsAreErrors(t *testing.T) {
	b := membroker.New(membroker.Options{Topics: map[string]int{"orders": 2}})
	nowhere := broker.TopicPartition{Topic: "orders", Partition: 2}
	require.ErrorIs(t, b.CreateTopic("orders", 1), broker.CodeInvalidArgument)
	require.ErrorIs(t, b.CreateTopic("", 1), broker.CodeInvalidArgument)
	require.ErrorIs(t, b.CreateTopic("new", 0), broker.CodeInvalidArgument)
	require.ErrorIs(t, b.DeleteTopic("new"), broker.CodeTopicNotFound)
	require.ErrorIs(t, b.AddPartitions("new", 3), broker.CodeTopicNotFound)
	require.ErrorIs(t, b.AddPartitions("orders", 2), broker.CodeInvalidArgument)
	require.ErrorIs(t, b.DeleteBefore(nowhere, 0), broker.CodePartitionNotFound)
	require.ErrorIs(t, b.SkipPositions(nowhere, 1), broker.CodePartitionNotFound)
	_, err := b.Append(&broker.OutgoingMessage{Topic: "orders"}, &broker.OutgoingMessage{Topic: "new"})
	require.ErrorIs(t, err, broker.CodeTopicNotFound)
	require.Len(t, b.Log(orders), 1, "what came before is stored")
	require.NoError(t, b.Close())
}

func TestAckedMessagesCanBeDiscarded(t *testing.T) {
	inBubble(t, membroker.Options{DiscardAcked: true}, func(t *testing.T, b *membroker.Broker) {
		values := make([]string, 3000)
		produce(t, b, "orders", 0, values...)
		opts := options
		opts.PartitionWindow = 2000
		fast, slow := join(t, b, opts), join(t, b, broker.ConsumerOptions{Subscription: "slow", Topics: []string{"orders"}})
		fast.poll()
		slow.poll()
		fast.Ack(fast.ids...)
		require.Len(t, b.Log(orders), 3000, "the other subscription needs them")
		slow.Ack(slow.ids...)
		require.Len(t, b.Log(orders), 3000, "a third isn't worth it")
		slow.poll()
		slow.Ack(slow.ids...)
		require.Len(t, b.Log(orders), 1000)
		fast.poll()
		slow.poll()
		require.Len(t, fast.ids, 3000)
		require.Len(t, slow.ids, 3000)
		require.NotContains(t, fast.take()+slow.take(), "Expired")
	})
}
