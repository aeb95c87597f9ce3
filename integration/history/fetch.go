package history

import "fmt"

// fetched checks what a server fetches of a partition.
func (c *checker) fetched(i int, e Fetched) {
	sh := c.groupOf(Server, e.Server, e.Subscription).shareOf(c.partitionOf(e.Partition))
	r := sh.reading
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
	for len(sh.fetched) > 0 && r.mayBeDurable(sh.fetched[0]) {
		sh.fetched = sh.fetched[1:]
	}
	limit := c.rules.PartitionWindow + c.rules.Overshoot
	if c.rules.PartitionWindow > 0 && len(sh.fetched) > limit && !sh.overfull {
		sh.overfull = true
		c.report(i, "partition-window", fmt.Sprintf("server %s has %d messages of %s from %d on that can't be durably ACKed: at most %d and one fetch of %d are allowed",
			e.Server, len(sh.fetched), sh, sh.fetched[0].position, c.rules.PartitionWindow, c.rules.Overshoot), entry(sh.gainedAt), entry(i))
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
