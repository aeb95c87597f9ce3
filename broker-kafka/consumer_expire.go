package kafka

import (
	"context"
	"errors"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A position that is not in the log any more.
//
// The client is told to do nothing about it (NoResetOffset), so that it comes up
// with OFFSET_OUT_OF_RANGE every time: at the first fetch of a partition whose
// committed position is too old, and at any later one. Below the log's start,
// messages have expired: that is told, and reading goes on at the start. Beyond
// its end, the log was cut off and nothing tells what was lost: the partition
// begins anew at the end.

// repairLocked pauses the partition and leaves it to the repairer.
func (c *consumer) repairLocked(p *partition) {
	p.pauses.set(pausedByRepair, true)
	c.applyPausesLocked(p)
	signal(c.repairWake)
}

// repairLoop finds new positions for partitions that need them.
func (c *consumer) repairLoop() {
	for {
		select {
		case <-c.pumping.Done():
			return
		case <-c.repairWake:
		}
		for broken := c.brokenPartitions(); len(broken) > 0; broken = c.brokenPartitions() {
			if err := c.repair(c.pumping, broken); err != nil {
				return
			}
		}
	}
}

func (c *consumer) brokenPartitions() (broken []*partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.partitions {
		if p.pauses&pausedByRepair != 0 && !p.isRevoking() {
			broken = append(broken, p)
		}
	}
	return broken
}

func (c *consumer) repair(ctx context.Context, broken []*partition) error {
	of := make(map[string][]int32)
	for _, p := range broken {
		of[p.id.Topic] = append(of[p.id.Topic], p.id.Partition)
	}
	starts, err := c.listOffsets(ctx, of, oldestOffset)
	if err != nil {
		return err
	}
	ends, err := c.listOffsets(ctx, of, endOffset)
	if err != nil {
		return err
	}
	// No record that was fetched before must come after the new position.
	done := c.gate.exclude()
	defer done()
	c.moveClient(broken, starts, ends)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range broken {
		if c.partitions[p.id] == p && !p.isRevoking() {
			c.repairedLocked(p, starts[p.id], ends[p.id])
		}
	}
	return nil
}

// moveClient sets the client to the new positions. It stops and starts the
// client's fetching, so it can't be done under mu; partitions that were lost
// meanwhile are skipped by the client itself.
func (c *consumer) moveClient(broken []*partition, starts, ends map[broker.TopicPartition]int64) {
	set := make(map[string]map[int32]kgo.EpochOffset)
	for _, p := range broken {
		if set[p.id.Topic] == nil {
			set[p.id.Topic] = make(map[int32]kgo.EpochOffset)
		}
		at := min(max(p.next, starts[p.id]), ends[p.id])
		set[p.id.Topic][p.id.Partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	c.client.SetOffsets(set)
}

func (c *consumer) repairedLocked(p *partition, start, end int64) {
	p.pauses.set(pausedByRepair, false)
	if p.next > end {
		c.rebaseLocked(p, end, "the position is beyond the end of the log")
		return
	}
	if p.next < start {
		c.log.Warn("messages expired before they were received", "topic", p.id.Topic,
			"partition", p.id.Partition, "expected", p.next, "oldest", start)
		c.enqueueLocked(entry{
			event:     broker.EventExpired{Partition: p.id, Count: uint64(start - p.next)},
			partition: p, next: start,
		})
		p.next = start
		p.epochs.add(start, -1)
	}
	c.applyPausesLocked(p)
}

// failTopic makes the consumer fail for good: what is left of the topic is
// another one.
func (c *consumer) failTopic(topic string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failTopicLocked(topic, why)
}

func (c *consumer) failTopicLocked(topic string, why error) {
	for _, p := range c.partitions {
		p.topicGone = p.topicGone || p.id.Topic == topic
	}
	c.successors.expect(c.opts.Subscription, topic)
	c.failLocked(&broker.Error{
		Code: broker.CodeTopicNotFound, Topic: topic, Partition: broker.AnyPartition,
		Message: "the topic is gone, or is another one now; subscribe again once it exists", Err: why,
	})
}

var errTopicGone = errors.New("its partitions have been unknown to Kafka for some time")
