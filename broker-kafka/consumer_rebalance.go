package kafka

import (
	"context"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The client calls onAssigned, onRevoked and onLost, one at a time. It calls them
// with empty maps too.

// onAssigned makes partitions assigned. Nothing of them is fetched before it and
// startPositions have returned.
func (c *consumer) onAssigned(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
	done := c.gate.exclude()
	defer done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits.joins++
	c.health.groupJoined()
	member := c.membership().member
	c.endStaleLocked(member)
	c.reviewTroubleLocked(time.Now())
	if c.closing {
		return
	}
	ids := partitionIDs(assigned)
	if len(ids) == 0 {
		return
	}
	ps := make([]*partition, 0, len(ids))
	for _, id := range ids {
		topic := c.topicIDs[id.Topic]
		p := &partition{id: id, topic: topic, ids: newIDPrefix(topic, id.Partition), member: member}
		c.partitions[id] = p
		ps = append(ps, p)
	}
	c.makeResolvableLocked(ps)
	c.log.Debug("partitions assigned", "partitions", ids)
}

// endStaleLocked ends what was assigned to another member than this consumer is now.
// Kafka had thrown that one out. The client, if it only hears of it when it joins
// again, joins as a new member and keeps what it had, at the positions where it was.
// But others may have had the partitions meanwhile, and be further on. Since the
// client can't be brought to begin them anew, the consumer fails for good.
func (c *consumer) endStaleLocked(member string) {
	var stale []*partition
	for _, p := range c.partitions {
		if p.member != member {
			stale = append(stale, p)
		}
	}
	if len(stale) == 0 {
		return
	}
	c.log.Warn("Kafka had thrown this consumer out; its partitions begin anew with another", "partitions", idsOf(stale))
	c.endAssignmentLocked(stale)
	c.failLocked(&broker.Error{
		Code: broker.CodeUnavailable, Partition: broker.AnyPartition,
		Message: "Kafka had not heard of this consumer for the session timeout and gave its partitions to others; subscribe again",
	})
}

// onRevoked gives the caller time to ACK what it holds, commits, and lets the
// partitions go. Meanwhile the client goes on with heartbeats and with fetching
// the other partitions.
func (c *consumer) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	ps := c.beginRevoking(partitionIDs(revoked))
	if len(ps) == 0 {
		return
	}
	c.awaitRelease(ps)
	ctx, cancel := context.WithTimeout(c.ctx, finalCommitTimeout)
	defer cancel()
	if err := c.flush(ctx, ps); err != nil && c.ctx.Err() == nil {
		c.log.Warn("partitions go to another consumer before their ACKs are durable; what was ACKed last is delivered again",
			"partitions", idsOf(ps), "error", err)
	}
	c.endAssignment(ps)
}

// onLost forgets partitions that were taken away: the group went on without this
// consumer. A commit would be refused.
func (c *consumer) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.mu.Lock()
	var ps []*partition
	for _, id := range partitionIDs(lost) {
		if p := c.partitions[id]; p != nil {
			ps = append(ps, p)
		}
	}
	c.mu.Unlock()
	c.endAssignment(ps)
}

// beginRevoking tells the caller and returns the partitions that it may hold
// something of; the others are gone at once, as are those of a member that Kafka has
// thrown out. Once the consumer is closing nobody polls, and nobody is waited for; but
// what Close hasn't committed by then has its last chance too.
func (c *consumer) beginRevoking(ids []broker.TopicPartition) []*partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ps, gone []*partition
	queued := make(map[*partition]struct{})
	member := c.membership().member
	for _, id := range ids {
		p := c.partitions[id]
		switch {
		case p == nil || p.isRevoking():
		case !p.told || p.member != member:
			gone = append(gone, p)
		default:
			p.released = make(chan struct{})
			ps = append(ps, p)
			queued[p] = struct{}{}
		}
	}
	c.endAssignmentLocked(gone)
	if len(ps) > 0 {
		c.dropQueuedLocked(queued)
		c.tellLocked(broker.EventRevoking{Partitions: idsOf(ps), TimeLeft: c.opts.HandoverTimeout})
		c.log.Debug("partitions are revoked", "partitions", idsOf(ps))
	}
	return ps
}

// Release: see broker.Consumer.
func (c *consumer) Release(ids ...broker.TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if p := c.partitions[id]; p != nil && p.isRevoking() && !isClosed(p.released) {
			close(p.released)
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// awaitRelease returns when all partitions are released or their time is up.
func (c *consumer) awaitRelease(ps []*partition) {
	timer := time.NewTimer(c.opts.HandoverTimeout)
	defer timer.Stop()
	for _, p := range ps {
		select {
		case <-p.released:
		case <-timer.C:
			c.log.Debug("partitions go to another consumer with messages that are not ACKed", "partitions", idsOf(ps))
			return
		case <-c.pumping.Done():
			return
		}
	}
}

// endAssignment forgets partitions and tells the caller.
func (c *consumer) endAssignment(ps []*partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endAssignmentLocked(ps)
}

func (c *consumer) endAssignmentLocked(ps []*partition) {
	gone := make(map[*partition]struct{}, len(ps))
	var told []broker.TopicPartition
	for _, p := range ps {
		if c.partitions[p.id] != p {
			continue
		}
		delete(c.partitions, p.id)
		gone[p] = struct{}{}
		if p.told {
			told = append(told, p.id)
		}
		// The client keeps a pause across assignments.
		p.pauses = 0
		c.applyPausesLocked(p)
	}
	if len(gone) == 0 {
		return
	}
	c.dropQueuedLocked(gone)
	if !c.closing && len(told) > 0 {
		c.tellLocked(broker.EventLost{Partitions: told})
	}
	c.reviewAckTroubleLocked(time.Now())
	c.reviewTroubleLocked(time.Now())
	c.log.Debug("partitions are gone", "partitions", idsOf(ps))
}

// rebaseLocked begins a partition anew at offset, where the client already goes
// on, because positions would not ascend otherwise: the log was cut off.
func (c *consumer) rebaseLocked(p *partition, offset int64, why string) {
	if p.isRevoking() {
		return // whoever gets it will find out
	}
	c.log.Warn("a partition's log was cut off; going on from where it ends now",
		"topic", p.id.Topic, "partition", p.id.Partition, "offset", offset, "expected", p.next, "reason", why)
	caller := p.pauses & pausedByCaller
	c.endAssignmentLocked([]*partition{p})
	again := &partition{
		id: p.id, topic: p.topic, ids: p.ids, member: p.member, told: true, note: p.note,
		tracker: prefix.New(offset), next: offset, writeStart: true,
	}
	again.pauses = caller
	c.partitions[p.id] = again
	c.tellLocked(broker.EventAssigned{Partitions: []broker.TopicPartition{p.id}})
	c.applyPausesLocked(again)
	c.commits.urgent = true
	c.scheduleCommitLocked()
}

// partitionIDs flattens the client's map, in order.
func partitionIDs(m map[string][]int32) []broker.TopicPartition {
	var ids []broker.TopicPartition
	for topic, numbers := range m {
		for _, number := range numbers {
			ids = append(ids, broker.TopicPartition{Topic: topic, Partition: number})
		}
	}
	slices.SortFunc(ids, broker.TopicPartition.Compare)
	return ids
}

func idsOf(ps []*partition) []broker.TopicPartition {
	ids := make([]broker.TopicPartition, len(ps))
	for i, p := range ps {
		ids[i] = p.id
	}
	return ids
}
