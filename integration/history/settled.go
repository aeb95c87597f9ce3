package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// checkTold: if messages expired that a subscription had never had, a client that
// was there all the time is told before it gets newer ones.
func (c *checker) checkTold(i int, sh *share, h *hold, m *message, from int64) {
	p, s := sh.partition, h.stream
	if p.compacted {
		return // other messages than those that expired are missing too
	}
	from = max(from, sh.reading.begin-1)
	k, _ := slices.BinarySearch(p.stored, from+1)
	if k == len(p.stored) || p.stored[k] >= m.position || p.stored[k] >= p.expiredBefore {
		return
	}
	x := p.stored[k]
	at := never
	for _, expiry := range p.expiries {
		if c.entries[expiry].Event.(Expired).Before > x {
			at = expiry
			break
		}
	}
	fetchedBefore := sh.group.fetches && sh.fetchOf(m).last < at // then it has nothing to do with what is missing
	if sh.gainedAt > at || s.subscribedAt > at || s.expiryTold > at || fetchedBefore || sh.reported {
		return
	}
	sh.reported = true
	c.report(i, "expiry-untold", fmt.Sprintf("stream %s got %s; messages from %d on had expired before anybody got them, and it wasn't told", s.name, m, x),
		entry(s.subscribedAt), entry(at), evidence{i, m})
}

// finishLiveness: when everything has healed and settled, everything is done.
func (c *checker) finishLiveness() {
	if !c.rules.Settled || c.healedAt == never {
		return
	}
	end := len(c.entries) - 1
	if !c.anyExpected {
		c.expectEverything()
	}
	for _, s := range sortedSubscriptions(c.subscriptions) {
		for _, r := range sortedReadings(s.readings) {
			if r.expected && !c.deleted[r.partition.name.Topic] {
				c.checkSettled(end, r)
			}
		}
	}
}

// expectEverything expects of every subscription all partitions of the topics of
// which it has read something.
func (c *checker) expectEverything() {
	for _, s := range c.subscriptions {
		topics := make(map[string]bool)
		for p, r := range s.readings {
			topics[p.name.Topic] = topics[p.name.Topic] || r.hasBegun()
		}
		for _, p := range c.partitions {
			if p.hasLog && topics[p.name.Topic] {
				c.readingOf(s, p).expected = true
			}
		}
	}
}

// hasBegun reports whether anything was read of a partition: there are readings of
// others, too, of which a client has ACKed what it got elsewhere.
func (r *reading) hasBegun() bool {
	return r.assignedAt != never || r.positionAt != never || r.deliveredTo >= 0
}

func (c *checker) checkSettled(end int, r *reading) {
	p := r.partition
	var lost []*message
	for _, m := range p.log {
		if m.position < r.begin || m.position < p.expiredBefore {
			continue
		}
		if r.state(m).delivered == 0 {
			lost = append(lost, m)
		}
	}
	name := fmt.Sprintf("%s/%d", p.name.Topic, p.name.Number)
	if len(lost) > 0 {
		c.report(end, "never-delivered", fmt.Sprintf("subscription %s never got %d messages of %s, the first at %d", r.subscription.name, len(lost), name, lost[0].position),
			entry(c.sentAt(lost[0])), entry(c.healedAt), logged(lost[0]))
	}
	if len(p.log) == 0 || !c.positionsRead {
		return
	}
	last := p.log[len(p.log)-1]
	if last.position >= r.position && last.position >= r.begin && last.position >= p.expiredBefore {
		c.report(end, "never-durable", fmt.Sprintf("in the end the position of %s in %s is %d, and the last message is at %d", r.subscription.name, name, r.position, last.position),
			append(r.explain(last), entry(c.healedAt), entry(r.positionAt), logged(last))...)
	}
}

func sortedSubscriptions(m map[string]*subscription) []*subscription {
	return slices.SortedFunc(maps.Values(m), func(a, b *subscription) int { return cmp.Compare(a.name, b.name) })
}

func sortedReadings(m map[*partition]*reading) []*reading {
	return slices.SortedFunc(maps.Values(m), func(a, b *reading) int {
		p, q := a.partition.name, b.partition.name
		return cmp.Or(cmp.Compare(p.Topic, q.Topic), cmp.Compare(p.Number, q.Number))
	})
}
