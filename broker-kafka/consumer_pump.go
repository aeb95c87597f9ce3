package kafka

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// failedFetchPause keeps the pump from polling as fast as Kafka can fail: the
// client fetches again as soon as the failure is taken from it.
const failedFetchPause = 200 * time.Millisecond

// pump moves what the client fetched into the queue.
func (c *consumer) pump() {
	timer := time.NewTimer(failedFetchPause)
	defer timer.Stop()
	for c.pumping.Err() == nil {
		ctx, leave := c.gate.enter(c.pumping)
		failed := c.receive(c.client.PollFetches(ctx))
		// Who waits for the messages goes first. Without that, the client's goroutines would,
		// which send the next fetch request, and messages wait for that to be written.
		runtime.Gosched()
		leave()
		c.awaitWindows(timer)
		if !failed {
			continue
		}
		timer.Reset(failedFetchPause)
		select {
		case <-c.pumping.Done():
		case <-timer.C:
		}
	}
}

// receive queues fetched messages and notes errors. It answers whether some
// partition could not be fetched.
func (c *consumer) receive(fetches kgo.Fetches) (failed bool) {
	c.hold(fetches)
	for i := range fetches {
		for j := range fetches[i].Topics {
			topic := &fetches[i].Topics[j]
			for k := range topic.Partitions {
				if !c.receivePartition(topic, &topic.Partitions[k]) {
					failed = true
				}
			}
		}
	}
	return failed
}

// hold pauses the partitions that the fetches bring to their window, before
// anything else is done with them, apart from those that are awaited. The client sends the next fetch request as
// soon as a fetch is taken from it, by way of three of its goroutines: if the
// pause comes before that request is built, it asks for the rest only, and if it
// doesn't, what it brings of the paused partitions is dropped and fetched again
// later (see arrives).
func (c *consumer) hold(fetches kgo.Fetches) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var held []*partition
	for i := range fetches {
		for j := range fetches[i].Topics {
			topic := &fetches[i].Topics[j]
			for k := range topic.Partitions {
				fetched := &topic.Partitions[k]
				p := c.partitions[broker.TopicPartition{Topic: topic.Topic, Partition: fetched.Partition}]
				if p == nil {
					continue
				}
				p.arriving = 0
				if p.outstanding()+len(fetched.Records) >= c.opts.PartitionWindow {
					c.holdLocked(p)
					held = append(held, p)
					if p.awaited {
						c.awaited = append(c.awaited, p)
					}
				}
			}
		}
	}
	c.applyPausesLocked(held...)
	c.fetchInFullLocked()
}

// receivePartition answers false if the partition could not be fetched.
func (c *consumer) receivePartition(topic *kgo.FetchTopic, fetched *kgo.FetchPartition) bool {
	if fetched.Partition < 0 || topic.Topic == "" { // not about a partition
		return c.receiveClientError(topic.Topic, fetched.Err)
	}
	id := broker.TopicPartition{Topic: topic.Topic, Partition: fetched.Partition}
	p := c.fetchable(id)
	if p == nil {
		return c.receiveStartError(id, fetched.Err)
	}
	if topic.TopicID != (topicID{}) && topic.TopicID != p.topic {
		c.failTopic(p.id.Topic, errors.New("the topic was deleted and created again"))
		return false
	}
	if len(fetched.Records) > 0 {
		c.queueRecords(p, fetched.Records)
	}
	return c.receiveFetchError(p, fetched.Err)
}

// receiveStartError handles an error of a partition that isn't fetched. If it has not
// begun, the client has given up asking where it begins, and never asks again: the
// topic was deleted and created again, say.
func (c *consumer) receiveStartError(id broker.TopicPartition, err error) bool {
	if err == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.partitions[id]
	if p == nil || p.tracker != nil || p.isRevoking() {
		return true
	}
	if isTopicGone(err) {
		c.failTopicLocked(id.Topic, errTopicGone)
	} else {
		c.failLocked(mapError(err, id.Topic, id.Partition))
	}
	return false
}

// fetchable returns the partition if what is fetched of it is to be delivered.
// What is fetched of others is from before they were revoked or lost.
func (c *consumer) fetchable(id broker.TopicPartition) *partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.partitions[id]; p != nil && p.tracker != nil && !p.isRevoking() {
		return p
	}
	return nil
}

// queueRecords makes messages of records and queues them, unless the partition
// was revoked or lost in between.
func (c *consumer) queueRecords(p *partition, records []*kgo.Record) {
	steps, count := makeSteps(p, records)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions[p.id] != p || p.isRevoking() {
		return
	}
	if records[0].Offset < p.next {
		// Never: the client reads on from where it was. Positions must ascend, so
		// rather begin the partition anew than break that or skip something.
		c.log.Error("Kafka client went back in a partition; reading it again from the committed position",
			"topic", p.id.Topic, "partition", p.id.Partition, "expected", p.next, "got", records[0].Offset)
		c.failLocked(&broker.Error{
			Code: broker.CodeInternal, Topic: p.id.Topic, Partition: p.id.Partition,
			Message: "the order of messages was lost; subscribe again",
		})
		return
	}
	for _, r := range records {
		p.epochs.add(r.Offset, r.LeaderEpoch)
	}
	p.next = steps[len(steps)-1].next
	p.queued += count
	c.enqueueLocked(steps...)
	if p.outstanding() < c.opts.PartitionWindow { // control records don't count
		c.freeLocked(p)
	}
	c.applyPausesLocked(p)
}

// receiveClientError handles an error that is about a topic, or about nothing that
// has a name. A broker that doesn't know a topic may just not know it yet.
func (c *consumer) receiveClientError(topic string, err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return true
	}
	if _, ok := errors.AsType[*kgo.ErrGroupSession](err); ok {
		return true // the hook has told more about it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if topic == "" || !kerr.IsRetriable(err) {
		c.failLocked(mapError(err, topic, broker.AnyPartition))
		return false
	}
	c.noteTopicFailureLocked(topic, err)
	return false
}

func (c *consumer) noteTopicFailure(topic string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteTopicFailureLocked(topic, err)
}

func (c *consumer) noteTopicFailureLocked(topic string, err error) {
	if c.topicFailures[topic] == nil {
		c.topicFailures[topic] = new(failure)
	}
	c.topicFailures[topic].note(err, time.Now())
}

// receiveFetchError handles the error of a partition's fetch; nil is success.
func (c *consumer) receiveFetchError(p *partition, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions[p.id] != p {
		return true
	}
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		c.rebaseLocked(p, loss.ResetTo, "Kafka lost messages that it had confirmed")
		return true
	}
	switch {
	case err == nil:
		if p.failure.err != nil {
			c.endFailureLocked(&p.failure)
			c.reviewTroubleLocked(time.Now())
		}
		return true
	case errors.Is(err, kerr.OffsetOutOfRange):
		c.repairLocked(p)
		return true
	}
	p.failure.note(err, time.Now())
	return false
}
