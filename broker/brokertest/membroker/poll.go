package membroker

import (
	"context"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// PollMessages implements broker.Consumer.
func (c *Consumer) PollMessages(ctx context.Context) (broker.Events, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		events, ready, err := c.pollNow()
		if ready {
			return events, err
		}
		select {
		case <-c.wake:
		case <-c.closing:
		case <-ctx.Done():
		}
	}
}

// pollNow returns what there is to tell now, if there is anything.
func (c *Consumer) pollNow() (events broker.Events, ready bool, err error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.isClosing {
		return nil, true, broker.ErrClosed
	}
	now := time.Now()
	err = c.pollErrorLocked()
	if err == nil {
		events = c.fetchLocked(c.drainLocked(now))
		ready = len(events) > 0 || c.pollFailed
		c.pollFailed = false
		return events, ready, nil
	}
	if c.pollFailed && c.dead == nil && now.Before(c.pollFailAt) {
		c.tickByLocked(c.pollFailAt)
		return nil, false, nil
	}
	c.pollFailed, c.pollFailAt = true, now.Add(c.b.opts.RetryInterval)
	events = c.drainLocked(now)
	if broker.CodeOf(err) == broker.CodeTopicNotFound {
		events = c.fetchLocked(events) // the other topics go on
	}
	return events, true, err
}

// pollErrorLocked returns why messages can't be received now, or nil.
func (c *Consumer) pollErrorLocked() error {
	if c.dead != nil {
		return c.dead
	}
	if c.b.faults.unreachable {
		return errUnreachable()
	}
	if err := c.b.faults.poll.of(c.subscription.name); err != nil {
		if !err.Retryable {
			c.dead = err
		}
		return err
	}
	for _, name := range c.opts.Topics {
		if c.b.topics[name] == nil {
			return unknownTopic(name)
		}
	}
	return nil
}

func (c *Consumer) drainLocked(now time.Time) broker.Events {
	if len(c.events) == 0 {
		return nil
	}
	events := make(broker.Events, 0, len(c.events)+len(c.cursors))
	for _, q := range c.events {
		if revoking, ok := q.event.(broker.EventRevoking); ok {
			revoking.TimeLeft = max(q.deadline.Sub(now), 0)
			q.event = revoking
		}
		events = append(events, q.event)
	}
	clear(c.events)
	c.events = c.events[:0]
	return events
}

func (c *Consumer) fetchLocked(events broker.Events) broker.Events {
	for _, cur := range c.cursors {
		events = cur.fetchLocked(events)
	}
	return events
}
