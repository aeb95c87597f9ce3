package history

import (
	"fmt"
	"time"
)

// The clock on a stream's oldest message, as the server has it.

// dropDone takes what isn't held any more from the head of a stream's queue.
func (c *checker) dropDone(i int, s *stream) {
	moved := false
	for len(s.queue) > 0 && (s.queue[0].acked || s.queue[0].hold.over) {
		s.queue[0] = nil
		s.queue = s.queue[1:]
		moved = true
	}
	if moved {
		c.checkKept(i, s)
		s.setOldest(c, i)
	}
}

// checkKept: a stream that doesn't ACK its oldest message in time is thrown out, and
// its end is recorded when its connection is closed at the latest. The server looks
// every half second, and where time is real, its clock runs slow when it is starved.
func (c *checker) checkKept(i int, s *stream) {
	const lookEvery = 500 * time.Millisecond
	kept := c.at(i).Sub(s.oldestSince)
	if s.side != Server || s.ended || s.told || s.ackTimeout == 0 || kept <= s.ackTimeout+c.rules.EvictionGrace+lookEvery+5*c.rules.Slack {
		return
	}
	s.told = true
	c.report(i, "ack-timeout", fmt.Sprintf("stream %s was not thrown out although it didn't ACK its oldest message for %v; its ACK timeout is %v", s.name, kept, s.ackTimeout),
		entry(s.subscribedAt), entry(i))
}

// checkThrownOut: only a stream that didn't ACK its oldest message in time is thrown
// out for that. What it held is known if none of its sends had to wait.
func (c *checker) checkThrownOut(i int, s *stream, code string) {
	if s.side == Server && code == "ACK_TIMEOUT" && !s.waits && !c.overdue(i, s) {
		c.report(i, "ack-timeout", fmt.Sprintf("stream %s was thrown out, and no message that it held was the oldest for %v", s.name, s.ackTimeout), entry(s.subscribedAt), entry(i))
	}
}

func (s *stream) setOldest(c *checker, i int) {
	now := c.at(i)
	if now.Sub(s.changedAt) > c.rules.Slack {
		s.before = s.oldestSince
	}
	s.changedAt, s.oldestSince = now, now
	if len(s.queue) == 0 {
		s.oldestSince = time.Time{}
	}
}

// overdue reports whether a stream's oldest message may have been held for the ACK
// timeout at entry i. What the server is just hearing of doesn't count yet.
func (c *checker) overdue(i int, s *stream) bool {
	now := c.at(i)
	since := s.oldestSince
	if now.Sub(s.changedAt) <= c.rules.Slack && !s.before.IsZero() {
		since = s.before
	} else if len(s.queue) == 0 {
		return false
	}
	return !since.IsZero() && s.ackTimeout > 0 && now.Sub(since)+c.rules.Slack >= s.ackTimeout
}
