package membroker

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// Consumer is a member of a subscription. Broker.mu guards its fields. Time moves
// it through one timer, tick, that is set for the earliest of what is due.
type Consumer struct {
	b            *Broker
	subscription *subscription
	opts         broker.ConsumerOptions

	wake      chan struct{} // has room for one: PollMessages should look again
	closeWake chan struct{} // the same for Close
	closing   chan struct{} // closed when Close begins
	left      chan struct{} // closed when it is no longer a member
	// ids are the partitions that were ever assigned, to resolve IDs without a lock.
	ids atomic.Pointer[map[partitionKey]broker.TopicPartition]

	isClosing bool
	hasLeft   bool
	cursors   []*cursor // assigned, in order
	events    []queuedEvent

	timer     *time.Timer
	tickAt    time.Time // when timer fires, or zero
	ackDue    time.Time // when ACKs become durable, or zero
	troubled  bool      // ACK trouble was reported
	troubleAt time.Time // when to report it again

	pollFailed bool // the last poll failed
	pollFailAt time.Time
	dead       error // what polls return forever
}

var _ broker.Consumer = (*Consumer)(nil)

// partitionKey tells the partitions of a topic from those of one of the same name
// that was deleted.
type partitionKey struct {
	incarnation uint64
	partition   int32
}

// queuedEvent is an event that waits for a poll. A deadline turns into the time
// that is left then.
type queuedEvent struct {
	event    broker.Event
	deadline time.Time
}

func newConsumer(b *Broker, s *subscription, opts broker.ConsumerOptions) *Consumer {
	c := &Consumer{
		b: b, subscription: s, opts: opts,
		wake:      make(chan struct{}, 1),
		closeWake: make(chan struct{}, 1),
		closing:   make(chan struct{}),
		left:      make(chan struct{}),
	}
	c.ids.Store(&map[partitionKey]broker.TopicPartition{})
	return c
}

func (c *Consumer) reads(topic string) bool { return slices.Contains(c.opts.Topics, topic) }

func (c *Consumer) wakeUp() {
	for _, wake := range []chan struct{}{c.wake, c.closeWake} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Ack implements broker.Consumer.
func (c *Consumer) Ack(ids ...broker.MessageID) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	var cur *cursor
	counted := false
	for _, id := range ids {
		if cur == nil || cur.partition.name != id.Partition {
			cur = c.subscription.cursors[id.Partition]
		}
		if cur != nil && cur.owner == c && cur.ackLocked(id.Position) {
			counted = true
		}
	}
	if !counted {
		return
	}
	now := time.Now()
	if c.ackDue.IsZero() {
		c.ackDue = now.Add(c.b.opts.AckDelay)
	}
	c.tickLocked(now)
}

// ResolveID implements broker.Consumer.
func (c *Consumer) ResolveID(id string) (broker.MessageID, bool) {
	incarnation, rest, ok1 := strings.Cut(id, ".")
	partition, position, ok2 := strings.Cut(rest, ".")
	i, ok3 := parseCanonical(incarnation, 64)
	n, ok4 := parseCanonical(partition, 31)
	pos, ok5 := parseCanonical(position, 64)
	if !(ok1 && ok2 && ok3 && ok4 && ok5) {
		return broker.MessageID{}, false
	}
	tp, ok := (*c.ids.Load())[partitionKey{i, int32(n)}]
	if !ok {
		return broker.MessageID{}, false
	}
	return broker.MessageID{Partition: tp, Position: pos}, true
}

// parseCanonical accepts a number only as it is printed.
func parseCanonical(s string, bits int) (uint64, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

// PausePartitions implements broker.Consumer.
func (c *Consumer) PausePartitions(partitions ...broker.TopicPartition) {
	c.setPaused(partitions, true)
}

// ResumePartitions implements broker.Consumer.
func (c *Consumer) ResumePartitions(partitions ...broker.TopicPartition) {
	c.setPaused(partitions, false)
}

func (c *Consumer) setPaused(partitions []broker.TopicPartition, paused bool) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for _, tp := range partitions {
		if cur := c.subscription.cursors[tp]; cur != nil && cur.owner == c {
			cur.paused = paused
		}
	}
	c.wakeUp()
}

// Release implements broker.Consumer.
func (c *Consumer) Release(partitions ...broker.TopicPartition) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	for _, tp := range partitions {
		if cur := c.subscription.cursors[tp]; cur != nil && cur.owner == c && cur.revoking {
			cur.released = true
		}
	}
	c.tickLocked(time.Now())
}

// Close implements broker.Consumer.
func (c *Consumer) Close(ctx context.Context) error {
	c.b.mu.Lock()
	first := !c.isClosing
	c.startClosingLocked()
	c.b.mu.Unlock()
	if !first {
		select {
		case <-c.left:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		c.b.mu.Lock()
		if c.canLeaveLocked() {
			c.leaveLocked()
			c.b.mu.Unlock()
			return nil
		}
		c.b.mu.Unlock()
		select {
		case <-c.closeWake:
		case <-ctx.Done():
			c.b.mu.Lock()
			defer c.b.mu.Unlock()
			c.leaveLocked()
			return ctx.Err()
		}
	}
}

func (c *Consumer) startClosingLocked() {
	if !c.isClosing {
		c.isClosing = true
		close(c.closing)
	}
}

// canLeaveLocked makes the ACKs durable and reports whether that and everything
// else that leaving needs went well.
func (c *Consumer) canLeaveLocked() bool {
	if c.hasLeft {
		return true
	}
	if c.b.faults.unreachable || c.b.faults.closesHeld {
		return false
	}
	return c.persistAllLocked() == nil
}

// leaveLocked drops what is left and gives the partitions to the other members.
func (c *Consumer) leaveLocked() {
	if c.hasLeft {
		return
	}
	c.hasLeft = true
	close(c.left)
	if c.timer != nil {
		c.timer.Stop()
	}
	for _, cur := range c.cursors {
		cur.dropLocked()
	}
	c.cursors, c.events = nil, nil
	s := c.subscription
	s.members = slices.DeleteFunc(s.members, func(m *Consumer) bool { return m == c })
	s.rebalanceLocked()
}

// assignLocked gives the consumer partitions that are free.
func (c *Consumer) assignLocked(cursors []*cursor) {
	if len(cursors) == 0 {
		return
	}
	ids := maps.Clone(*c.ids.Load())
	for _, cur := range cursors {
		cur.takeLocked(c)
		// A topic of the same name that was deleted isn't this one.
		maps.DeleteFunc(ids, func(_ partitionKey, tp broker.TopicPartition) bool { return tp == cur.partition.name })
		ids[partitionKey{cur.partition.incarnation, cur.partition.name.Partition}] = cur.partition.name
	}
	c.ids.Store(&ids)
	c.cursors = append(c.cursors, cursors...)
	slices.SortFunc(c.cursors, func(a, b *cursor) int { return a.partition.name.Compare(b.partition.name) })
	c.emitLocked(broker.EventAssigned{Partitions: namesOf(cursors)})
}

// revokeLocked begins a handover.
func (c *Consumer) revokeLocked(cursors []*cursor, now time.Time) {
	if len(cursors) == 0 {
		return
	}
	deadline := now.Add(c.opts.HandoverTimeout)
	for _, cur := range cursors {
		cur.revoking, cur.deadline = true, deadline
	}
	c.events = append(c.events, queuedEvent{broker.EventRevoking{Partitions: namesOf(cursors)}, deadline})
	c.wakeUp()
	c.tickByLocked(deadline)
}

// loseLocked takes partitions from the consumer.
func (c *Consumer) loseLocked(cursors ...*cursor) {
	if len(cursors) == 0 {
		return
	}
	for _, cur := range cursors {
		cur.dropLocked()
	}
	c.cursors = slices.DeleteFunc(c.cursors, func(cur *cursor) bool { return cur.owner == nil })
	c.emitLocked(broker.EventLost{Partitions: namesOf(cursors)})
	c.reportRecoveryLocked()
}

func (c *Consumer) emitLocked(event broker.Event) {
	c.events = append(c.events, queuedEvent{event: event})
	c.wakeUp()
}

func namesOf(cursors []*cursor) []broker.TopicPartition {
	names := make([]broker.TopicPartition, 0, len(cursors))
	for _, cur := range cursors {
		names = append(names, cur.partition.name)
	}
	return names
}
