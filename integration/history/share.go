package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// evictionGrace is how long a stream that was thrown out, and doesn't read, may last
// until its connection is closed.
const evictionGrace = 10 * time.Second

type groupName struct {
	side         Side
	server       string
	subscription string
}

// group is the streams of one subscription at one server, as one side sees them.
type group struct {
	name         groupName
	subscription *subscription
	// exact: it is known which partitions the server has.
	exact   bool
	shares  map[*partition]*share
	checker *checker
}

// share is a partition at a server, for one subscription.
type share struct {
	group     *group
	partition *partition
	reading   *reading

	assigned bool
	gainedAt int
	lostAt   int // the end of the last assignment
	// holder is who was delivered messages last; its stream may have ended.
	holder *hold
	// holds are those that may have something in flight, if the group isn't exact.
	holds []*hold
	// waiting is what streams that ended left unACKed, by position.
	waiting []*held
	// frontier is the highest position that was delivered in this assignment, next the
	// place in the log after it.
	frontier  int64
	next      int
	delivered bool
	reported  bool // something of this assignment

	fetched     []*message // and not known to be durable, by position
	lastFetched int64
	overfull    bool
}

func (c *checker) groupOf(side Side, server, subscription string) *group {
	name := groupName{side, server, subscription}
	g := c.groups[name]
	if g == nil {
		g = &group{name: name, subscription: c.subscriptionOf(subscription), shares: make(map[*partition]*share), checker: c}
		c.groups[name] = g
	}
	return g
}

// known reports whether it is known which streams are at the same server.
func (g *group) known() bool { return g.name.server != "" }

func (g *group) shareOf(p *partition) *share {
	sh := g.shares[p]
	if sh == nil {
		sh = &share{group: g, partition: p, reading: g.checker.readingOf(g.subscription, p), gainedAt: never, lostAt: never, frontier: -1, lastFetched: -1}
		g.shares[p] = sh
	}
	return sh
}

func (c *checker) gained(i int, e Gained) {
	g := c.groupOf(Server, e.Server, e.Subscription)
	for _, name := range e.Partitions {
		sh := g.shareOf(c.partitionOf(name))
		if sh.assigned {
			c.endAssignment(i, sh)
		}
		sh.assigned, sh.gainedAt = true, i
		c.gainedReading(i, sh.reading)
	}
}

func (c *checker) lost(i int, e Lost) {
	g := c.groupOf(Server, e.Server, e.Subscription)
	for _, name := range e.Partitions {
		c.endAssignment(i, g.shareOf(c.partitionOf(name)))
	}
}

func (c *checker) endAssignment(i int, sh *share) {
	if sh.holder != nil {
		c.end(i, sh.holder)
	}
	*sh = share{group: sh.group, partition: sh.partition, reading: sh.reading, gainedAt: never, lostAt: i, frontier: -1, lastFetched: -1}
	sh.reading.changedAt = i
}

func (c *checker) stopped(i int, e Stopped) {
	for _, g := range c.groups {
		if g.name.server != e.Server {
			continue
		}
		for _, sh := range g.shares {
			c.endAssignment(i, sh)
		}
	}
	for side := range c.streams {
		for _, s := range c.streams[side] {
			if Side(side) == Server && s.group != nil && s.group.name.server == e.Server && !s.ended {
				c.consumeEnded(i, ConsumeEnded{Side: Server, Stream: s.name, Code: "stopped"})
			}
		}
	}
}

// isLate reports whether a delivery may be of an earlier assignment: decided before
// the server heard that it had lost the partition, and recorded after. Then the
// stream is told in the same breath that the partition is gone, or it ends.
func (c *checker) isLate(i int, s *stream, sh *share) bool {
	if sh.lostAt == never || c.at(sh.lostAt).Before(c.decided(i, s).Add(-c.rules.Slack)) {
		return false
	}
	next := s.endsAt
	if k, ok := slices.BinarySearch(s.leaves[sh.partition], i); !ok && k < len(s.leaves[sh.partition]) {
		next = s.leaves[sh.partition][k]
	}
	if next == never || next < i {
		return false
	}
	sent := i
	if len(s.sends) > 0 && s.sends[0] < next {
		sent = s.sends[0] // it waited itself
	}
	return c.soon(sent, next)
}

// decided is the earliest time at which the server may have decided what its stream
// records at entry i.
func (c *checker) decided(i int, s *stream) time.Time {
	if w := s.waited; w.to > 0 && w.from >= 0 && s.lastSend < w.to && c.soon(w.to, i) {
		return c.at(w.from)
	}
	return c.at(i)
}

// span is from one entry to another.
type span struct{ from, to int }

// takeOver makes a stream the holder of a partition, and reports if another still is.
func (c *checker) takeOver(i int, sh *share, h *hold) {
	if !sh.group.known() {
		return
	}
	if !sh.group.exact {
		c.suspect(i, sh, h)
		return
	}
	if !sh.assigned && !sh.reported {
		sh.reported = true
		c.report(i, "delivered-unowned", fmt.Sprintf("stream %s got messages of %s, which server %s doesn't have", h.stream.name, sh, sh.group.name.server),
			sh.lostAt, i)
	}
	old := sh.holder
	if old == h || old == nil {
		sh.holder = h
		return
	}
	sh.holder = h
	switch {
	case old.unacked == 0:
		c.end(i, old)
	case old.stream.ended || old.over:
		c.end(i, old)
	case c.mayBeThrownOut(i, old.stream):
		s := old.stream
		s.thrownOutAt = i
		for _, left := range s.holds {
			c.release(left)
			c.end(i, left)
		}
	case !sh.reported:
		sh.reported = true
		first := old.messages[old.acked]
		c.report(i, "two-holders", fmt.Sprintf("stream %s got messages of %s while stream %s held %d of it, the first at %d",
			h.stream.name, sh, old.stream.name, old.unacked, first.position), trimmed(c.entries[first.at], first.message), i)
	}
	sh.holder = h
	h.last = -1
}

// mayBeThrownOut reports whether a stream may have ended at the server although that
// is recorded later: at the same time, or, if its oldest message is overdue and it
// doesn't read, when its connection is closed.
func (c *checker) mayBeThrownOut(i int, s *stream) bool {
	last := c.at(len(c.entries) - 1)
	if s.endsAt != never && c.soon(i, s.endsAt) {
		return true
	}
	if !c.overdue(i, s) {
		return false
	}
	deadline := c.at(i).Add(evictionGrace + c.rules.Slack)
	if s.endsAt != never {
		return !c.at(s.endsAt).After(deadline)
	}
	return !last.After(deadline)
}

// servedAfterEnd is about a delivery to a stream whose messages others have got.
func (c *checker) servedAfterEnd(i int, s *stream, messages []*message) {
	if c.soon(s.thrownOutAt, i) || s.told {
		return
	}
	s.told = true
	c.report(i, "two-holders", fmt.Sprintf("stream %s got messages after what it held had gone to another", s.name),
		s.thrownOutAt, trimmed(c.entries[i], messages[0]))
}

// release makes what an ended stream holds wait for the next one.
func (c *checker) release(h *hold) {
	sh := h.share
	if sh == nil || sh.holder != h || h.released {
		return
	}
	h.released = true
	for _, x := range h.messages[h.acked:] {
		if !x.acked {
			sh.waiting = append(sh.waiting, x)
		}
	}
	slices.SortStableFunc(sh.waiting, func(a, b *held) int { return cmp.Compare(a.position, b.position) })
}

func (sh *share) String() string {
	return fmt.Sprintf("%s/%d", sh.partition.name.Topic, sh.partition.name.Number)
}
