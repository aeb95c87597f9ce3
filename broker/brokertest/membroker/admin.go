package membroker

import (
	"fmt"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// CreateTopic creates a topic. Subscriptions that name it get its partitions.
func (b *Broker) CreateTopic(name string, partitions int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == "" || partitions < 1 {
		return invalid("a topic needs a name and at least one partition")
	}
	if b.topics[name] != nil {
		return invalid(fmt.Sprintf("topic %q exists already", name))
	}
	b.topics[name] = newTopic(name, partitions)
	b.rebalanceReadersLocked(name)
	return nil
}

// DeleteTopic deletes a topic with its messages and everything that
// subscriptions know of it. Its consumers lose the partitions, and their polls
// fail with CodeTopicNotFound until the topic is created again.
func (b *Broker) DeleteTopic(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return unknownTopic(name)
	}
	delete(b.topics, name)
	for _, p := range t.partitions {
		for _, cur := range append([]*cursor(nil), p.cursors...) {
			cur.forgetLocked()
		}
	}
	b.rebalanceReadersLocked(name)
	for _, s := range b.subscriptions {
		s.wakeMembersLocked()
	}
	return nil
}

// Append stores messages directly, without a producer and whatever faults are in
// force. It stops at the first that can't be stored.
func (b *Broker) Append(messages ...*broker.OutgoingMessage) ([]broker.MessageReceipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := &batch{}
	outgoing := make([]outgoing, len(messages))
	receipts := make([]broker.MessageReceipt, 0, len(messages))
	var err error
	for i, m := range messages {
		outgoing[i].message, outgoing[i].accepted = m, time.Now()
		if err = b.appendLocked(b.opts.MaxMessageBytes, &outgoing[i], batch); err != nil {
			break
		}
	}
	batch.finish()
	for i := range batch.entries {
		receipts = append(receipts, outgoing[i].receipt)
	}
	return receipts, err
}

// AddPartitions raises the number of partitions of a topic.
func (b *Broker) AddPartitions(name string, partitions int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[name]
	if t == nil {
		return unknownTopic(name)
	}
	if partitions <= len(t.partitions) {
		return invalid(fmt.Sprintf("topic %q has %d partitions already", name, len(t.partitions)))
	}
	t.grow(partitions)
	b.rebalanceReadersLocked(name)
	return nil
}

// DeleteBefore deletes the messages of a partition before a position, as
// retention does. Consumers that had still to receive some of them are told.
func (b *Broker) DeleteBefore(tp broker.TopicPartition, position uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.partitionLocked(tp)
	if err != nil {
		return err
	}
	position = min(position, p.end)
	if position <= p.start {
		return nil
	}
	kept := p.messages[p.index(position):]
	p.messages = append([]broker.Message(nil), kept...)
	p.start = position
	p.wakeReaders()
	return nil
}

// SkipPositions leaves a gap of n positions before the next message of a
// partition, as transaction markers and compaction do.
func (b *Broker) SkipPositions(tp broker.TopicPartition, n uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.partitionLocked(tp)
	if err != nil {
		return err
	}
	p.end += n
	return nil
}

func (b *Broker) partitionLocked(tp broker.TopicPartition) (*partition, error) {
	t := b.topics[tp.Topic]
	if t == nil {
		return nil, unknownTopic(tp.Topic)
	}
	if tp.Partition < 0 || int(tp.Partition) >= len(t.partitions) {
		return nil, &broker.Error{Code: broker.CodePartitionNotFound, Topic: tp.Topic, Partition: tp.Partition}
	}
	return t.partitions[tp.Partition], nil
}

func unknownTopic(name string) *broker.Error {
	return &broker.Error{
		Code: broker.CodeTopicNotFound, Topic: name, Partition: broker.AnyPartition, Retryable: true,
		Message: "the topic doesn't exist, or not any more; create it",
	}
}
