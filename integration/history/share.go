package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

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
	exact bool
	// fetches: what they fetch is known too.
	fetches bool
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

	fetches []fetch // by rank, of all assignments

	fetched     []*message // and not known to be durable, by position
	lastFetched int64
	overfull    bool
	fetchedAt   int // the last fetch
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
		sh.reading.owners++
		if sh.lostAt != never && c.soon(sh.lostAt, i) {
			sh.reading.cutAt = i
		}
		c.gainedReading(i, sh.reading)
	}
}

func (c *checker) lost(i int, e Lost) {
	g := c.groupOf(Server, e.Server, e.Subscription)
	for _, name := range e.Partitions {
		sh := g.shareOf(c.partitionOf(name))
		c.checkPromise(i, sh)
		c.endAssignment(i, sh)
	}
}

// checkPromise: a partition that is to move goes when its holder has ACKed everything
// or the time that it was told is over.
func (c *checker) checkPromise(i int, sh *share) {
	h := sh.holder
	if h == nil || h.leavingAt == 0 || h.unacked == 0 || h.stream.ended || c.mayBeThrownOut(i, h.stream) || c.deleted[sh.partition.name.Topic] {
		return
	}
	left := c.entries[h.leavingAt].Event.(Withdrawn).TimeLeft
	// Kafka may take away at once what it asked for, if it is disturbed; and a server
	// that shuts down has a time of its own.
	if early := h.promised.Sub(c.at(i)) - c.rules.Slack; early > 0 && !c.isDisturbed(i, sh.group.name.server) {
		c.report(i, "promised-time", fmt.Sprintf("stream %s was told that it has %v to ACK what it holds of %s, and that went %v too early", h.stream.name, left, sh, early),
			entry(h.leavingAt), entry(i))
	}
}

func (c *checker) endAssignment(i int, sh *share) {
	if sh.holder != nil {
		c.end(i, sh.holder)
	}
	if sh.assigned {
		sh.reading.owners--
	}
	*sh = share{group: sh.group, partition: sh.partition, reading: sh.reading, fetches: sh.fetches, gainedAt: never, lostAt: i, frontier: -1, lastFetched: -1}
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

// attribution says to which assignment of a partition a delivery belongs.
type attribution int

const (
	current attribution = iota
	// late: to an earlier one. It was decided before the server heard that it had lost
	// the partition, and recorded after.
	late
	// doubtful: to one or the other.
	doubtful
)

// attribute finds out to which assignment a delivery belongs. What wasn't fetched in
// the present one can't be of it, what was fetched in no earlier one can't be late.
// Of the rest, only what was recorded when the partition was just lost can be late, or
// what a stream records after a send that had waited since before. And a stream to
// which something is delivered late is told in the same breath that the partition is
// gone. (It may also end without being told; but where messages were fetched again
// before that, the server has heard of the loss.)
func (c *checker) attribute(i int, s *stream, sh *share, m *message) attribution {
	fetchedNow, fetchedEarlier := true, true
	if sh.group.fetches {
		f := sh.fetchOf(m)
		fetchedNow = sh.assigned && f.last > sh.gainedAt
		fetchedEarlier = f.earlier != never || f.last != never && !fetchedNow
	}
	switch {
	case fetchedNow && !fetchedEarlier:
		return current
	case !fetchedNow && fetchedEarlier && c.goesSoon(i, s, sh, true):
		return late
	case sh.lostAt == never || c.at(sh.lostAt).Before(c.decided(i, s).Add(-c.rules.Slack)):
		return current
	case !fetchedNow || !c.goesSoon(i, s, sh, false):
		return current
	}
	return doubtful
}

// goesSoon reports whether a stream is told, as the next thing after a delivery, that
// it holds nothing of the partition any more; or, if orEnds, whether it ends.
func (c *checker) goesSoon(i int, s *stream, sh *share, orEnds bool) bool {
	next := never
	if orEnds {
		next = s.endsAt
	}
	if k, _ := slices.BinarySearch(s.leaves[sh.partition], i); k < len(s.leaves[sh.partition]) {
		next = s.leaves[sh.partition][k]
	}
	if next < i {
		return false
	}
	sent := i
	if len(s.sends) > 0 && s.sends[0].to < next {
		sent = s.sends[0].to // it waited itself
	}
	return c.soon(sent, next)
}

// decided is the earliest time at which the server may have decided what was done for
// its stream by entry i: while a send waits, it collects behind it, and when that is
// over, all of it follows.
func (c *checker) decided(i int, s *stream) time.Time {
	if len(s.sends) > 0 && s.sends[0].from < i && s.sends[0].from >= 0 {
		return c.at(s.sends[0].from)
	}
	if w := s.waited; w.to > 0 && w.from >= 0 && c.soon(w.to, i) {
		return c.at(w.from)
	}
	return c.at(i)
}

// span is from one entry to another.
type span struct{ from, to int }

// takeOver makes a stream the holder of a partition, and reports if another still is.
func (c *checker) takeOver(i int, sh *share, h *hold, messages []*message) {
	if !sh.group.known() {
		return
	}
	if !sh.group.exact {
		c.suspect(i, sh, h, messages)
		return
	}
	c.checkOwned(i, sh, h, messages[0])
	old := sh.holder
	sh.holder = h
	if old == h || old == nil {
		return
	}
	switch {
	case old.unacked == 0, old.stream.ended, old.over:
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
			h.stream.name, sh, old.stream.name, old.unacked, first.position), evidence{first.at, first.message}, entry(i))
	}
	h.last = -1
}

// checkOwned: a server delivers what it has fetched of partitions that it has.
func (c *checker) checkOwned(i int, sh *share, h *hold, m *message) {
	switch {
	case sh.reported:
	case !sh.assigned:
		sh.reported = true
		c.report(i, "delivered-unowned", fmt.Sprintf("stream %s got messages of %s, which server %s doesn't have", h.stream.name, sh, sh.group.name.server),
			entry(sh.lostAt), evidence{i, m})
	case sh.group.fetches && sh.fetchOf(m).last < sh.gainedAt:
		sh.reported = true
		c.report(i, "delivered-unfetched", fmt.Sprintf("stream %s got %s, which server %s hasn't fetched since it has the partition", h.stream.name, m, sh.group.name.server),
			entry(sh.gainedAt), evidence{i, m})
	}
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
	deadline := c.at(i).Add(c.rules.EvictionGrace + c.rules.Slack)
	ends := s.endsAt
	// A server that stops takes its streams with it, and tells nobody.
	stops := c.stops[s.group.name.server]
	if k, _ := slices.BinarySearch(stops, i); k < len(stops) && (ends == never || stops[k] < ends) {
		ends = stops[k]
	}
	if ends != never {
		return !c.at(ends).After(deadline)
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
		entry(s.thrownOutAt), evidence{i, messages[0]})
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
