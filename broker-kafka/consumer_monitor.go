package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The contract's limit for reporting trouble is 10 s from its beginning. A Kafka
// broker that falls silent is asked for a sign of life after pingSilence, has
// pingTimeout to answer, and is reported by the next look at it; in between the
// client has time to get over what is over in a moment.
const (
	monitorInterval = time.Second
	pingSilence     = 3 * time.Second
	pingTimeout     = 3 * time.Second
	troubleSilence  = 5 * time.Second
	// failureGrace is how long a partition, the group or commits may fail without
	// a word.
	failureGrace = 3 * time.Second
	// failureFades is when a failure that wasn't seen again is over. While it
	// lasts it is seen several times a second.
	failureFades = 2 * time.Second
	// topicFailureFades is the same for topics: they are looked at once a second.
	topicFailureFades = 4 * time.Second
	// ackTroubleInterval is how often EventAckTrouble is told while it lasts.
	ackTroubleInterval = 5 * time.Second
)

// monitor looks at the consumer's health every second.
func (c *consumer) monitor() {
	ticker := time.NewTicker(monitorInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.pumping.Done():
			return
		case now := <-ticker.C:
			c.pingSilent()
			c.mu.Lock()
			c.reviewTroubleLocked(now)
			c.reviewAckTroubleLocked(now)
			c.mu.Unlock()
		}
	}
}

// anyNode stands for whichever Kafka broker answers.
const anyNode int32 = -1

// neededNodesLocked are the Kafka brokers that messages can't be received
// without: the leaders of the partitions and the group's coordinator.
func (c *consumer) neededNodesLocked() (nodes []int32) {
	for id := range c.partitions {
		leader, _, err := c.client.PartitionLeader(id.Topic, id.Partition)
		if err == nil && leader >= 0 && !slices.Contains(nodes, leader) {
			nodes = append(nodes, leader)
		}
	}
	if coordinator, ok := c.health.knownCoordinator(); ok {
		if !slices.Contains(nodes, coordinator) {
			nodes = append(nodes, coordinator)
		}
	} else {
		nodes = append(nodes, anyNode)
	}
	return nodes
}

// pingSilent asks the nodes for a sign of life that haven't given one by
// themselves.
func (c *consumer) pingSilent() {
	c.mu.Lock()
	nodes := c.neededNodesLocked()
	silence := pingSilence
	if !c.trouble.unreachable.IsZero() {
		silence = 0 // its end is awaited
	}
	c.mu.Unlock()
	for _, id := range nodes {
		if c.health.beginPing(id, silence) {
			c.wg.Go(func() { c.health.endPing(id, c.ping(id)) })
		}
	}
}

func (c *consumer) ping(id int32) error {
	ctx, cancel := context.WithTimeout(c.pumping, pingTimeout)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	var err error
	if id == anyNode {
		_, err = req.RequestWith(ctx, c.client)
	} else {
		_, err = c.client.Broker(int(id)).Request(ctx, req)
	}
	if err != nil && c.pumping.Err() == nil {
		c.client.ForceMetadataRefresh() // its partitions may be elsewhere by now
	}
	return err
}

// reviewTroubleLocked finds out whether messages can be received.
func (c *consumer) reviewTroubleLocked(now time.Time) {
	if c.closing || c.trouble.err != nil && !c.trouble.err.Retryable {
		return
	}
	err := c.findTroubleLocked(now)
	if (err == nil) != (c.trouble.err == nil) {
		c.wakePollLocked()
	}
	c.trouble.err = err
}

func (c *consumer) findTroubleLocked(now time.Time) *broker.Error {
	if err := c.groupTroubleLocked(now); err != nil {
		return err
	}
	for topic, f := range c.topicFailures {
		if err := c.fetchTroubleLocked(f, topic, broker.AnyPartition, topicFailureFades, now); err != nil {
			return err
		}
	}
	for _, p := range c.partitions {
		if err := c.fetchTroubleLocked(&p.failure, p.id.Topic, p.id.Partition, failureFades, now); err != nil {
			return err
		}
	}
	return c.unreachableLocked(now)
}

// unreachableLocked says which trouble it is that needed nodes don't answer. It is
// over when all of them have: which ones are needed changes meanwhile, since the
// partitions are lost sooner or later.
func (c *consumer) unreachableLocked(now time.Time) *broker.Error {
	t := &c.trouble
	nodes := c.neededNodesLocked()
	if err := c.health.silent(nodes, now, troubleSilence); err != nil {
		if t.unreachable.IsZero() {
			t.unreachable = now
		}
		return unreachableError(err)
	}
	if !t.unreachable.IsZero() && !c.health.haveAnswered(nodes, t.unreachable) {
		return t.err
	}
	t.unreachable = time.Time{}
	return nil
}

func unreachableError(err error) *broker.Error {
	e := *mapError(err, "", broker.AnyPartition)
	if e.Code == broker.CodeInternal { // some error of the network that nobody has met yet
		e.Code, e.Message = broker.CodeUnavailable, errCommitUnanswered.Message
	}
	e.Retryable = true
	return &e
}

// groupTroubleLocked says which trouble it is that the group can't be joined. It
// is over when the group is joined.
func (c *consumer) groupTroubleLocked(now time.Time) *broker.Error {
	f := c.health.groupFailure()
	if f.err == nil {
		c.trouble.group = false
		return nil
	}
	err := unreachableError(f.err)
	if answer, ok := errors.AsType[*kerr.Error](f.err); ok {
		err = mapError(answer, "", broker.AnyPartition)
		c.trouble.group = c.trouble.group || !err.Retryable // waiting won't help
	}
	if c.trouble.group = c.trouble.group || now.Sub(f.since) >= failureGrace; !c.trouble.group {
		return nil
	}
	return asRetryable(err)
}

// fetchTroubleLocked says which trouble it is that a partition, or all of a topic,
// can't be fetched.
func (c *consumer) fetchTroubleLocked(f *failure, topic string, partition int32, fades time.Duration, now time.Time) *broker.Error {
	if f.err == nil {
		return nil
	}
	if now.Sub(f.last) > fades {
		c.endFailureLocked(f)
		return nil
	}
	lasted := f.last.Sub(f.since)
	if isTopicGone(f.err) {
		if lasted < topicGrace {
			return nil
		}
		c.failTopicLocked(topic, errTopicGone)
		return c.trouble.err
	}
	if lasted < failureGrace {
		return nil
	}
	return asRetryable(mapError(f.err, topic, partition))
}

// endFailureLocked forgets a failure, and commits what may have had to wait.
func (c *consumer) endFailureLocked(f *failure) {
	*f = failure{}
	c.commits.moved = true
	c.scheduleCommitLocked()
}

func isTopicGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition) ||
		errors.Is(err, kerr.InconsistentTopicID)
}

// asRetryable: the client goes on trying, so whatever it is about can be mended
// without another consumer. What can't be is for failLocked.
func asRetryable(err *broker.Error) *broker.Error {
	if err.Retryable {
		return err
	}
	e := *err
	e.Retryable = true
	return &e
}

// failLocked makes every poll fail from now on: another consumer is needed.
func (c *consumer) failLocked(err *broker.Error) {
	if c.trouble.err != nil && !c.trouble.err.Retryable {
		return
	}
	e := *err
	e.Retryable = false
	c.trouble.err = &e
	c.wakePollLocked()
}

// reviewAckTroubleLocked tells that ACKs can't be made durable, or that they can
// again.
func (c *consumer) reviewAckTroubleLocked(now time.Time) {
	s := &c.commits
	if !c.anyCommitFailedLocked() {
		s.failedSince, s.failedErr = time.Time{}, nil
	}
	since, err := s.failedSince, s.failedErr
	if since.IsZero() && c.isCommittingLocked() {
		since = s.inFlightSince
	}
	if c.closing {
		return
	}
	if since.IsZero() || now.Sub(since) < failureGrace {
		if since.IsZero() && !s.reported.IsZero() {
			s.reported = time.Time{}
			c.tellLocked(broker.EventAckRecovered{})
		}
		return
	}
	if c.queue.ackTrouble || now.Sub(s.reported) < ackTroubleInterval {
		return
	}
	if err == nil {
		err = errCommitUnanswered
	}
	s.reported = now
	c.queue.ackTrouble = true
	c.tellLocked(broker.EventAckTrouble{Err: err})
}

var errCommitUnanswered = &broker.Error{
	Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: true,
	Message: "the Kafka broker doesn't answer; check that it runs, and the network",
}

// anyCommitFailedLocked: partitions that are gone, or may be, don't count.
func (c *consumer) anyCommitFailedLocked() bool {
	for _, p := range c.partitions {
		if p.commitFailed && !p.mayBeGone() {
			return true
		}
	}
	return false
}

// isCommittingLocked: a commit is under way for a partition that isn't gone.
func (c *consumer) isCommittingLocked() bool {
	for _, p := range c.commits.inFlight {
		if c.partitions[p.id] == p {
			return true
		}
	}
	return false
}
