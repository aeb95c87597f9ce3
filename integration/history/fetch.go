package history

import (
	"fmt"
	"time"
)

// fetched checks what a server fetches of a partition.
func (c *checker) fetched(i int, e Fetched) {
	sh := c.groupOf(Server, e.Server, e.Subscription).shareOf(c.partitionOf(e.Partition))
	r := sh.reading
	c.checkFull(i, sh)
	for k := range e.Messages {
		m := sh.partition.messageAt(&e.Messages[k])
		c.name(i, m, e.Messages[k].ID)
		if m.position <= sh.lastFetched {
			c.reportOrder(i, sh, "fetched-out-of-order", fmt.Sprintf("server %s fetched %s after %d", e.Server, m, sh.lastFetched), m, entry(sh.gainedAt))
			continue
		}
		sh.lastFetched = m.position
		sh.noteFetched(i, m)
		sh.fetched = append(sh.fetched, m)
	}
	if len(e.Messages) > 0 {
		r.knownFrom(e.Messages[0].Position)
	}
	sh.dropDurable()
	limit := c.rules.PartitionWindow + c.rules.Overshoot
	if c.rules.PartitionWindow > 0 && len(sh.fetched) > limit && !sh.overfull {
		sh.overfull = true
		c.report(i, "partition-window", fmt.Sprintf("server %s has %d messages of %s from %d on that can't be durably ACKed: at most %d and one fetch of %d are allowed",
			e.Server, len(sh.fetched), sh, sh.fetched[0].position, c.rules.PartitionWindow, c.rules.Overshoot), entry(sh.gainedAt), entry(i))
	}
}

// windowPatience is how long what was asked for before a window was full may be on its
// way.
const windowPatience = 2 * time.Second

// checkFull: nothing more comes of a partition whose window has been full since the
// last fetch.
func (c *checker) checkFull(i int, sh *share) {
	last := sh.fetchedAt
	sh.fetchedAt = i
	sh.dropDurable()
	if n := len(sh.fetched); c.rules.PartitionWindow > 0 && n >= c.rules.PartitionWindow && last > sh.gainedAt &&
		c.at(i).Sub(c.at(last)) > windowPatience+c.rules.Slack && !sh.overfull {
		sh.overfull = true
		c.report(i, "partition-window", fmt.Sprintf("server %s goes on fetching %s, and has had %d messages from %d on, that can't be durably ACKed, since its last fetch: the window is %d",
			sh.group.name.server, sh, n, sh.fetched[0].position, c.rules.PartitionWindow), entry(last), entry(i))
	}
}

func (sh *share) dropDurable() {
	for len(sh.fetched) > 0 && sh.reading.mayBeDurable(sh.fetched[0]) {
		sh.fetched = sh.fetched[1:]
	}
}

// mayBeDurable reports whether an ACK of a message may be durable. Everything before
// it is taken to be.
func (r *reading) mayBeDurable(m *message) bool {
	s := r.state(m)
	return s.acked > 0 || s.stray > 0 || m.position < r.position
}

// fetch is the entries at which a server fetched a message: last, and last in an
// earlier assignment.
type fetch struct{ last, earlier int }

func (sh *share) fetchOf(m *message) fetch {
	if m.rank < len(sh.fetches) {
		f := sh.fetches[m.rank]
		return fetch{f.last - 1, f.earlier - 1}
	}
	return fetch{never, never}
}

// noteFetched keeps the entries plus one.
func (sh *share) noteFetched(i int, m *message) {
	if m.rank >= len(sh.fetches) {
		grown := make([]fetch, max(len(sh.partition.messages), 2*len(sh.fetches)))
		copy(grown, sh.fetches)
		sh.fetches = grown
	}
	f := &sh.fetches[m.rank]
	if f.last > 0 && f.last-1 < sh.gainedAt {
		f.earlier = f.last
	}
	f.last = i + 1
}
