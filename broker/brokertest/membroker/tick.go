package membroker

import (
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// tickByLocked makes sure that tick runs at a time or before.
func (c *Consumer) tickByLocked(at time.Time) {
	if c.hasLeft || !c.tickAt.IsZero() && !at.Before(c.tickAt) {
		return
	}
	c.tickAt = at
	if c.timer == nil {
		c.timer = time.AfterFunc(time.Until(at), c.tick)
		return
	}
	c.timer.Reset(time.Until(at))
}

// tick does what is due by now.
func (c *Consumer) tick() {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.tickAt = time.Time{}
	c.tickLocked(time.Now())
	c.wakeUp() // a failing poll may be due again
}

// tickLocked makes ACKs durable, ends handovers and repeats the news of trouble,
// each when it is due, and sets the timer for what comes next.
func (c *Consumer) tickLocked(now time.Time) {
	if c.hasLeft {
		return
	}
	if !c.ackDue.IsZero() && !now.Before(c.ackDue) {
		c.persistDueLocked(now)
	}
	c.endHandoversLocked(now)
	if c.troubled && !now.Before(c.troubleAt) {
		c.persistDueLocked(now)
	}
	for _, at := range []time.Time{c.ackDue, c.nextDeadlineLocked(), c.nextTroubleLocked()} {
		if !at.IsZero() {
			c.tickByLocked(at)
		}
	}
}

func (c *Consumer) nextTroubleLocked() time.Time {
	if !c.troubled {
		return time.Time{}
	}
	return c.troubleAt
}

func (c *Consumer) nextDeadlineLocked() (next time.Time) {
	for _, cur := range c.cursors {
		if cur.revoking && (next.IsZero() || cur.deadline.Before(next)) {
			next = cur.deadline
		}
	}
	return next
}

// persistDueLocked makes all ACKs durable, or reports that it can't.
func (c *Consumer) persistDueLocked(now time.Time) {
	c.ackDue = time.Time{}
	if err := c.persistAllLocked(); err != nil {
		c.reportTroubleLocked(err, now)
		return
	}
	c.reportRecoveryLocked()
}

// persistAllLocked makes all ACKs durable.
func (c *Consumer) persistAllLocked() error { return c.persistLocked(c.cursors) }

// persistLocked makes the ACKs of some partitions durable.
func (c *Consumer) persistLocked(cursors []*cursor) error {
	fault := c.ackFaultLocked()
	for _, cur := range cursors {
		if len(cur.pending) == 0 {
			continue
		}
		if fault != nil {
			cur.failed = true
			continue
		}
		cur.persistLocked()
		c.wakeUp() // there may be room in the window again
	}
	for _, cur := range cursors {
		if cur.failed {
			return fault
		}
	}
	return nil
}

func (c *Consumer) ackFaultLocked() error {
	if c.b.faults.unreachable {
		return errUnreachable()
	}
	if err := c.b.faults.acks.of(c.subscription.name); err != nil {
		return err
	}
	return nil
}

// reportTroubleLocked tells that ACKs can't be made durable, unless it did so
// just now.
func (c *Consumer) reportTroubleLocked(err error, now time.Time) {
	if c.troubled && now.Before(c.troubleAt) {
		return
	}
	c.troubled, c.troubleAt = true, now.Add(c.b.opts.TroubleInterval)
	c.emitLocked(broker.EventAckTrouble{Err: err})
}

// reportRecoveryLocked tells that the trouble is over, if it is.
func (c *Consumer) reportRecoveryLocked() {
	if !c.troubled {
		return
	}
	for _, cur := range c.cursors {
		if cur.failed {
			return
		}
	}
	c.troubled = false
	c.emitLocked(broker.EventAckRecovered{})
}

// endHandoversLocked lets go what is released or whose time is up. ACKs that
// can't be made durable hold a release up, but not beyond the deadline.
func (c *Consumer) endHandoversLocked(now time.Time) {
	var ended []*cursor
	for _, cur := range c.cursors {
		late := !now.Before(cur.deadline)
		if !cur.revoking || !cur.released && !late {
			continue
		}
		err := c.persistLocked([]*cursor{cur})
		if err != nil {
			c.reportTroubleLocked(err, now)
		}
		if err == nil || late {
			ended = append(ended, cur)
		}
	}
	if len(ended) == 0 {
		return
	}
	c.loseLocked(ended...)
	c.subscription.rebalanceLocked()
}

// retryAcksLocked tries again at once what has failed.
func (c *Consumer) retryAcksLocked() {
	if !c.troubled || c.hasLeft {
		return
	}
	now := time.Now()
	c.persistDueLocked(now)
	c.tickLocked(now)
}
