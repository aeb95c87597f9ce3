package membroker

import (
	"slices"

	"github.com/messageproxy/messageproxy/broker"
)

// Log returns the messages of a partition that retention has left, as they were
// stored. The caller must not change what they refer to.
func (b *Broker) Log(tp broker.TopicPartition) []broker.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.partitionLocked(tp)
	if err != nil {
		return nil
	}
	return slices.Clone(p.messages)
}

// End returns the position of the next message of a partition.
func (b *Broker) End(tp broker.TopicPartition) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.partitionLocked(tp)
	if err != nil {
		return 0
	}
	return p.end
}

// FirstUnacked returns the position before which every message of a partition is
// durably ACKed, and whether the subscription has a position there at all.
func (b *Broker) FirstUnacked(subscription string, tp broker.TopicPartition) (uint64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cur := b.cursorLocked(subscription, tp)
	if cur == nil || !cur.positioned {
		return 0, false
	}
	return cur.base, true
}

// Acked returns the positions of the messages in a partition's log that a
// subscription has durably ACKed, in ascending order. Those that it skipped when
// it started at the latest message are among them.
func (b *Broker) Acked(subscription string, tp broker.TopicPartition) []uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	cur := b.cursorLocked(subscription, tp)
	if cur == nil || !cur.positioned {
		return nil
	}
	var positions []uint64
	for i := range cur.partition.messages {
		if position := cur.partition.messages[i].Position; cur.isAcked(position) {
			positions = append(positions, position)
		}
	}
	return positions
}

// Consumers returns how many consumers have joined a subscription.
func (b *Broker) Consumers(subscription string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.subscriptions[subscription]; s != nil {
		return len(s.members)
	}
	return 0
}

// PartitionState is what the consumer that has a partition is doing with it.
type PartitionState struct {
	// Consumer has the partition. nil: nobody has, and the rest is zero.
	Consumer broker.Consumer
	// Revoking: the partition is being handed over.
	Revoking bool
	// Paused: by PausePartitions.
	Paused bool
	// WindowFull: by the consumer's own window, as of its last poll.
	WindowFull bool
	// Outstanding is how many messages are delivered and not durably ACKed.
	Outstanding int
}

// Partition returns the state of a partition in a subscription.
func (b *Broker) Partition(subscription string, tp broker.TopicPartition) PartitionState {
	b.mu.Lock()
	defer b.mu.Unlock()
	cur := b.cursorLocked(subscription, tp)
	if cur == nil || cur.owner == nil {
		return PartitionState{}
	}
	return PartitionState{
		Consumer: cur.owner, Revoking: cur.revoking, Paused: cur.paused,
		WindowFull: cur.full, Outstanding: cur.outstanding(),
	}
}

func (b *Broker) cursorLocked(subscription string, tp broker.TopicPartition) *cursor {
	s := b.subscriptions[subscription]
	if s == nil {
		return nil
	}
	return s.cursors[tp]
}
