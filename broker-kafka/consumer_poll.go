package kafka

import (
	"context"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// queue is what PollMessages will return, in order.
type queue struct {
	entries []entry
	// ackTrouble: an EventAckTrouble is in the queue. One is enough, however long
	// nobody polls.
	ackTrouble bool
}

// entry is an event, or for an assigned partition a step forward, or both.
type entry struct {
	event broker.Event // nil: a step without messages
	// partition is nil for events that are no step.
	partition *partition
	// next is the offset after the step.
	next int64
}

// trouble is why messages can't be received now.
type trouble struct {
	err *broker.Error // nil: no trouble
	// unreachable is when Kafka brokers were found not to answer, if that is the
	// trouble.
	unreachable time.Time
	// group: the group can't be joined, if that is the trouble.
	group bool
	// reported: PollMessages has returned an error, and none without since.
	reported bool
	last     time.Time // when it did so last
}

// troubleInterval is how often a poll fails while trouble lasts.
const troubleInterval = 5 * time.Second

// PollMessages: see broker.Consumer.
func (c *consumer) PollMessages(ctx context.Context) (broker.Events, error) {
	timer := time.NewTimer(troubleInterval)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		events, again, err := c.poll(time.Now())
		if again == 0 {
			return events, err
		}
		timer.Reset(again)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// poll returns what there is to return, or how long to wait for more.
func (c *consumer) poll(now time.Time) (events broker.Events, again time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil, 0, broker.ErrClosed
	}
	events = c.takeQueueLocked()
	t := &c.trouble
	if t.err == nil {
		if recovered := t.reported; recovered || len(events) > 0 {
			t.reported = false
			return events, 0, nil
		}
		return nil, troubleInterval, nil
	}
	if wait := troubleInterval - now.Sub(t.last); t.reported && t.err.Retryable && len(events) == 0 && wait > 0 {
		return nil, wait, nil
	}
	t.reported, t.last = true, now
	return events, 0, t.err
}

func (c *consumer) takeQueueLocked() broker.Events {
	entries := c.queue.entries
	if len(entries) == 0 {
		return nil
	}
	c.queue = queue{}
	c.fetched.taken()
	events := make(broker.Events, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.partition != nil {
			c.takeStepLocked(e)
		}
		if e.event != nil {
			events = append(events, e.event)
		}
	}
	c.scheduleCommitLocked()
	return events
}

// takeStepLocked makes an entry's messages outstanding.
func (c *consumer) takeStepLocked(e *entry) {
	p := e.partition
	if m, ok := e.event.(broker.EventMessages); ok {
		p.queued -= len(m.Messages)
		for i := range m.Messages {
			p.tracker.Deliver(int64(m.Messages[i].Position))
		}
	}
	p.tracker.Advance(e.next)
	if p.needsCommit() {
		c.commits.moved = true
	}
}

func (c *consumer) enqueueLocked(entries ...entry) {
	c.queue.entries = append(c.queue.entries, entries...)
	c.wakePollLocked()
}

func (c *consumer) tellLocked(event broker.Event) { c.enqueueLocked(entry{event: event}) }

// dropQueuedLocked takes the messages and steps of partitions out of the queue
// that were not returned yet: they are for whoever gets the partitions.
func (c *consumer) dropQueuedLocked(of map[*partition]struct{}) {
	kept := c.queue.entries[:0]
	for _, e := range c.queue.entries {
		if _, drop := of[e.partition]; drop && e.partition != nil {
			continue
		}
		kept = append(kept, e)
	}
	clear(c.queue.entries[len(kept):])
	c.queue.entries = kept
	for p := range of {
		p.queued = 0
	}
}

func (c *consumer) wakePollLocked() { signal(c.wake) }

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
