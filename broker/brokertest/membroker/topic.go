package membroker

import (
	"fmt"
	"sort"
	"strconv"
	"sync/atomic"

	"github.com/messageproxy/messageproxy/broker"
)

// incarnations numbers all topics ever created in this process, so that no two
// messages share an ID, not even those of different brokers.
var incarnations atomic.Uint64

// topic is guarded by Broker.mu.
type topic struct {
	name        string
	incarnation uint64
	partitions  []*partition
	next        int // where the next message without a key goes
}

// partition is the log of one partition, guarded by Broker.mu.
type partition struct {
	name        broker.TopicPartition
	incarnation uint64
	idPrefix    string
	start       uint64           // the first position that retention has left
	end         uint64           // the position of the next message
	messages    []broker.Message // by ascending Position, start <= Position < end
	cursors     []*cursor        // of the subscriptions that read it
}

func newTopic(name string, partitions int) *topic {
	t := &topic{name: name, incarnation: incarnations.Add(1)}
	t.grow(partitions)
	return t
}

func (t *topic) grow(partitions int) {
	for n := len(t.partitions); n < partitions; n++ {
		t.partitions = append(t.partitions, &partition{
			name:        broker.TopicPartition{Topic: t.name, Partition: int32(n)},
			incarnation: t.incarnation,
			idPrefix:    fmt.Sprintf("%d.%d.", t.incarnation, n),
		})
	}
}

// choose returns the partition for a message.
func (t *topic) choose(m *broker.OutgoingMessage) (*partition, error) {
	switch {
	case m.Partition >= 0 && int(m.Partition) < len(t.partitions):
		return t.partitions[m.Partition], nil
	case m.Partition != broker.AnyPartition:
		return nil, &broker.Error{
			Code: broker.CodePartitionNotFound, Topic: t.name, Partition: m.Partition,
			Message: fmt.Sprintf("the topic has %d partitions, counted from 0", len(t.partitions)),
		}
	case m.Key != nil:
		return t.partitions[fnv1a(m.Key)%uint64(len(t.partitions))], nil
	}
	t.next = (t.next + 1) % len(t.partitions)
	return t.partitions[t.next], nil
}

// fnv1a hashes a key, the same in every run.
// http://www.isthe.com/chongo/tech/comp/fnv/
func fnv1a(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// index returns the index of the first message at or after a position.
func (p *partition) index(position uint64) int {
	if len(p.messages) == 0 || position <= p.messages[0].Position {
		return 0
	}
	// Without gaps the answer is a subtraction.
	i := position - p.messages[0].Position
	if i < uint64(len(p.messages)) && p.messages[i].Position == position {
		return int(i)
	}
	return sort.Search(len(p.messages), func(i int) bool { return p.messages[i].Position >= position })
}

// wakeReaders tells the consumers of a partition that something changed there.
func (p *partition) wakeReaders() {
	for _, cur := range p.cursors {
		if cur.owner != nil {
			cur.owner.wakeUp()
		}
	}
}

// discardAcked drops what no subscription can ask for again, once that is at least
// half of the log, so that it costs little.
func (p *partition) discardAcked() {
	needed := p.end
	for _, cur := range p.cursors {
		if cur.positioned {
			needed = min(needed, cur.base)
		}
	}
	if n := p.index(needed); n >= 1000 && n >= len(p.messages)/2 {
		p.messages = append(make([]broker.Message, 0, len(p.messages)), p.messages[n:]...)
		p.start = max(p.start, needed)
	}
}

func (p *partition) appendID(to []byte, position uint64) []byte {
	return strconv.AppendUint(append(to, p.idPrefix...), position, 10)
}

// topicLocked finds a topic, or creates it where that is configured.
func (b *Broker) topicLocked(name string) (*topic, error) {
	if t := b.topics[name]; t != nil {
		return t, nil
	}
	if !b.opts.CreateTopics || name == "" {
		return nil, &broker.Error{
			Code: broker.CodeTopicNotFound, Topic: name, Partition: broker.AnyPartition,
			Message: "the topic doesn't exist; create it first",
		}
	}
	t := newTopic(name, b.opts.DefaultPartitions)
	b.topics[name] = t
	b.rebalanceReadersLocked(name)
	return t, nil
}

// rebalanceReadersLocked redistributes the subscriptions that name a topic.
func (b *Broker) rebalanceReadersLocked(name string) {
	for _, s := range b.subscriptions {
		if s.readsLocked(name) {
			s.rebalanceLocked()
		}
	}
}
