package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Where reading begins in a partition without a position.
//
// With StartEarliest it is the oldest message. With StartLatest it is the end,
// and it is committed before the first message is fetched; but for a partition
// that was added to its topic after the subscription began, it is the oldest
// message too. To tell one from the other, commits of a StartLatest subscription
// carry how many partitions the topic had when the subscription began. The
// consumer that finds no position asks for those of the topic's other
// partitions: if none has one, the subscription begins now; otherwise the note
// says whether the partition is new. Positions without a note were written by a
// subscription that began with StartEarliest, or by a tool, and a partition
// beside them is read from the oldest message: rather too much than too little.
//
// Kafka keeps positions by the topic's name, and takes a commit for one topic that
// comes when another of that name was created. So commits also say which topic they
// are of. A position of another topic is none; but the subscription is older than
// the topic, and begins at its oldest message.

// startRetryPause is how long to wait before asking Kafka again where to begin.
const startRetryPause = 500 * time.Millisecond

// startPositions is called by the client between onAssigned and the first fetch
// with the committed positions. ctx ends when the group is joined again; then the
// client calls again for the partitions that are left, and they begin where they
// were to begin before.
func (c *consumer) startPositions(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	began, written, err := c.resolveFresh(ctx, c.fresh(offsets), offsets)
	if err != nil {
		return nil, err
	}
	if err := c.flush(ctx, c.begin(offsets, began, written)); err != nil {
		return nil, err
	}
	for topic := range offsets {
		c.successors.begun(c.opts.Subscription, topic)
	}
	c.tellAssigned(offsets)
	return offsets, nil
}

// tellAssigned tells the caller that it has partitions. It does so only now, so
// that everything stored after EventAssigned is delivered, also to a subscription
// that starts at the latest.
func (c *consumer) tellAssigned(offsets map[string]map[int32]kgo.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []broker.TopicPartition
	for topic, partitions := range offsets {
		for number := range partitions {
			id := broker.TopicPartition{Topic: topic, Partition: number}
			if p := c.partitions[id]; p != nil && !p.told {
				p.told = true
				ids = append(ids, id)
			}
		}
	}
	if len(ids) > 0 {
		slices.SortFunc(ids, broker.TopicPartition.Compare)
		c.tellLocked(broker.EventAssigned{Partitions: ids})
	}
}

// fresh returns the partitions without a position, apart from those that are to
// begin at one that is not committed yet: that is put into offsets.
func (c *consumer) fresh(offsets map[string]map[int32]kgo.Offset) map[string][]int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := make(map[string][]int32)
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			p := c.partitions[broker.TopicPartition{Topic: topic, Partition: number}]
			if p != nil && p.tracker != nil {
				partitions[number] = kgo.NewOffset().At(p.next)
			} else if offset.EpochOffset().Offset < 0 || p != nil && p.foreign {
				fresh[topic] = append(fresh[topic], number)
			}
		}
	}
	return fresh
}

// partitionSet names partitions.
type partitionSet map[broker.TopicPartition]struct{}

// begin gives the partitions their trackers. It returns those that have to be
// written down first.
func (c *consumer) begin(offsets map[string]map[int32]kgo.Offset, began map[string]int32, written partitionSet) (write []*partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range offsets {
		for number, offset := range partitions {
			id := broker.TopicPartition{Topic: topic, Partition: number}
			p := c.partitions[id]
			if p == nil {
				continue
			}
			if p.tracker == nil {
				start := offset.EpochOffset()
				p.tracker, p.next = prefix.New(start.Offset), start.Offset
				p.note = note{topic: p.topic, began: began[topic]}.String()
				p.epochs.add(start.Offset, start.Epoch)
				_, p.writeStart = written[id]
			}
			if p.writeStart {
				write = append(write, p)
			}
		}
	}
	return write
}

// resolveFresh puts the starting positions of the fresh partitions into offsets.
// It returns what is to be noted with the topics' commits, and the partitions whose
// start has to be written down.
func (c *consumer) resolveFresh(ctx context.Context, fresh map[string][]int32, offsets map[string]map[int32]kgo.Offset) (map[string]int32, partitionSet, error) {
	began, earliest, latest := map[string]int32(nil), fresh, map[string][]int32(nil)
	if c.opts.Start == broker.StartLatest {
		var err error
		if began, earliest, latest, err = c.divideFresh(ctx, fresh, offsets); err != nil {
			return nil, nil, err
		}
	}
	written := make(partitionSet)
	for _, part := range []struct {
		of      map[string][]int32
		at      int64
		written bool
	}{{earliest, oldestOffset, c.opts.Start == broker.StartLatest}, {latest, endOffset, true}} {
		listed, err := c.listOffsets(ctx, part.of, part.at)
		if err != nil {
			return nil, nil, err
		}
		for id, offset := range listed {
			offsets[id.Topic][id.Partition] = kgo.NewOffset().At(offset)
			if part.written {
				written[id] = struct{}{}
			}
		}
	}
	return began, written, nil
}

// divideFresh divides partitions without a position into those that begin at the
// oldest message and those that begin at the end. It also returns with how many
// partitions the subscription began.
func (c *consumer) divideFresh(ctx context.Context, fresh map[string][]int32, offsets map[string]map[int32]kgo.Offset) (began map[string]int32, earliest, latest map[string][]int32, err error) {
	counts, err := c.countPartitions(ctx, offsets)
	if err != nil {
		return nil, nil, nil, err
	}
	committed, err := c.committedNotes(ctx, counts)
	if err != nil {
		return nil, nil, nil, err
	}
	began, earliest, latest = make(map[string]int32), make(map[string][]int32), make(map[string][]int32)
	for topic := range offsets {
		began[topic] = counts[topic]
		if known, ok := committed[topic]; ok {
			began[topic] = known
		} else if c.successors.expects(c.opts.Subscription, topic) {
			began[topic] = 0
		}
		for _, number := range fresh[topic] {
			if number < began[topic] {
				latest[topic] = append(latest[topic], number)
			} else {
				earliest[topic] = append(earliest[topic], number)
			}
		}
	}
	return began, earliest, latest, nil
}

// onOffsetsFetched is called by the client before startPositions, with the answer
// that the committed positions are from.
func (c *consumer) onOffsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range resp.Groups {
		for j := range resp.Groups[i].Topics {
			t := &resp.Groups[i].Topics[j]
			name := c.nameOf(t)
			for k := range t.Partitions {
				id := broker.TopicPartition{Topic: name, Partition: t.Partitions[k].Partition}
				if p := c.partitions[id]; p != nil {
					p.foreign = noteOf(&t.Partitions[k]).isForeign(p.topic)
				}
			}
		}
	}
	return nil
}

func (c *consumer) nameOf(t *kmsg.OffsetFetchResponseGroupTopic) string {
	if t.Topic == "" {
		return c.topicNames[t.TopicID]
	}
	return t.Topic
}

// countPartitions asks how many partitions the topics have.
func (c *consumer) countPartitions(ctx context.Context, topics map[string]map[int32]kgo.Offset) (map[string]int32, error) {
	counts := make(map[string]int32)
	for topic, partitions := range topics {
		for number := range partitions {
			counts[topic] = max(counts[topic], number+1)
		}
	}
	err := c.ask(ctx, func() error {
		req := kmsg.NewPtrMetadataRequest()
		for topic := range topics {
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = kmsg.StringPtr(topic)
			req.Topics = append(req.Topics, t)
		}
		resp, err := req.RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		for i := range resp.Topics {
			t := &resp.Topics[i]
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return &topicError{*t.Topic, err}
			}
			counts[*t.Topic] = max(counts[*t.Topic], int32(len(t.Partitions)))
		}
		return nil
	})
	return counts, err
}

// committedNotes returns, for topics in which the group has positions, with how
// many partitions the subscription began, or 0 where no note says so.
func (c *consumer) committedNotes(ctx context.Context, counts map[string]int32) (map[string]int32, error) {
	began := make(map[string]int32)
	err := c.ask(ctx, func() error {
		clear(began)
		resp, err := c.offsetFetchRequest(counts).RequestWith(ctx, c.client)
		if err != nil {
			return err
		}
		if len(resp.Groups) == 0 {
			return errors.New("Kafka answered a request for positions without the group")
		}
		if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
			return err
		}
		for i := range resp.Groups[0].Topics {
			t := &resp.Groups[0].Topics[i]
			for j := range t.Partitions {
				if err := c.noteCommitted(began, c.nameOf(t), &t.Partitions[j]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return began, err
}

func (c *consumer) noteCommitted(began map[string]int32, topic string, p *kmsg.OffsetFetchResponseGroupTopicPartition) error {
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return &topicError{topic, err}
	}
	if p.Offset < 0 {
		return nil
	}
	n := noteOf(p)
	if n.isForeign(c.topicIDs[topic]) {
		n.began = 0
	}
	began[topic] = max(began[topic], n.began)
	return nil
}

func (c *consumer) offsetFetchRequest(counts map[string]int32) *kmsg.OffsetFetchRequest {
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = c.opts.Subscription
	for topic, count := range counts {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.TopicID = topic, c.topicIDs[topic]
		for number := range count {
			t.Partitions = append(t.Partitions, number)
		}
		group.Topics = append(group.Topics, t)
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Groups = append(req.Groups, group)
	return req
}

// The timestamps that stand for the ends of a partition in ListOffsets.
const (
	endOffset    int64 = -1
	oldestOffset int64 = -2
)

// listOffsets asks for one end of the log of each partition until it knows all.
func (c *consumer) listOffsets(ctx context.Context, partitions map[string][]int32, end int64) (map[broker.TopicPartition]int64, error) {
	listed := make(map[broker.TopicPartition]int64)
	if len(partitions) == 0 {
		return listed, nil
	}
	err := c.ask(ctx, func() error {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.IsolationLevel = 1 // read committed: the end is the last stable offset
		for topic, numbers := range partitions {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = topic
			for _, number := range numbers {
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.Partition, p.Timestamp = number, end
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
		}
		for _, part := range c.client.RequestSharded(ctx, req) {
			if part.Err != nil {
				return aboutTopic(part.Req.(*kmsg.ListOffsetsRequest), part.Err)
			}
			if err := takeListed(part.Resp.(*kmsg.ListOffsetsResponse), listed); err != nil {
				return err
			}
		}
		return nil
	})
	return listed, err
}

// aboutTopic says which topic it is that the client itself finds to be gone, or to
// have fewer partitions than were assigned: it looks at its metadata before it asks.
func aboutTopic(req *kmsg.ListOffsetsRequest, err error) error {
	if len(req.Topics) > 0 && isTopicGone(err) {
		return &topicError{req.Topics[0].Topic, err}
	}
	return err
}

func takeListed(resp *kmsg.ListOffsetsResponse, listed map[broker.TopicPartition]int64) error {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return &topicError{t.Topic, fmt.Errorf("asking for an end of the log of partition %d: %w", p.Partition, err)}
			}
			if p.Offset < 0 {
				return fmt.Errorf("Kafka knows no end of the log of %s/%d", t.Topic, p.Partition)
			}
			listed[broker.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = p.Offset
		}
	}
	return nil
}

// topicError is Kafka's error for one topic of a question.
type topicError struct {
	topic string
	err   error
}

func (e *topicError) Error() string { return fmt.Sprintf("topic %q: %v", e.topic, e.err) }
func (e *topicError) Unwrap() error { return e.err }

// ask repeats a question until it is answered or ctx ends. What keeps it from
// being answered is the monitor's to report: if it is that a topic is gone, or
// another one of its name is there, it never will be.
func (c *consumer) ask(ctx context.Context, question func() error) error {
	timer := time.NewTimer(startRetryPause)
	defer timer.Stop()
	for {
		err := question()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if about, ok := errors.AsType[*topicError](err); ok && isTopicGone(err) {
			c.noteTopicFailure(about.topic, err)
		}
		c.log.Debug("Kafka doesn't say where to begin; asking again", "error", err)
		timer.Reset(startRetryPause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}
