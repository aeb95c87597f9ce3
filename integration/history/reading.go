package history

import (
	"fmt"
	"math"
	"slices"
)

// subscription is what is known of one subscription.
type subscription struct {
	name string
	// servers are those whose streams are seen, by side.
	servers  [2]map[string]bool
	readings map[*partition]*reading
}

func (c *checker) subscriptionOf(name string) *subscription {
	s := c.subscriptions[name]
	if s == nil {
		s = &subscription{name: name, servers: [2]map[string]bool{{}, {}}, readings: make(map[*partition]*reading)}
		c.subscriptions[name] = s
	}
	return s
}

// judge is the side whose ACKs say what is done: the servers', who know best who
// holds what, if all of them are seen.
func (s *subscription) judge() Side {
	for server := range s.servers[Client] {
		if server != "" && !s.servers[Server][server] {
			return Client
		}
	}
	if len(s.servers[Server]) == 0 {
		return Client
	}
	return Server
}

// reading is what became of the messages of one partition in one subscription.
type reading struct {
	subscription *subscription
	partition    *partition
	states       []state // by rank

	// begin is where the subscription began; math.MaxInt64 as long as that isn't known.
	begin int64
	// undone is the place in the log before which everything is done.
	undone      int
	deliveredTo int64 // the highest position that was ever delivered

	position   int64
	positionAt int // the last time it was read, or never
	assignedAt int // the first Gained, or never
	changedAt  int // the last Gained or Lost
	owners     int // the servers that have it
	cutAt      int // the last time that a server gained it when it had just lost it
	expected   bool
}

// state is what became of one message: one more than the entries at which it was
// delivered last, ACKed by who held it, and ACKed by somebody else.
type state struct {
	delivered, acked, stray int32
	by                      *group // whose stream ACKed it; nil if that may have come too late
}

func (c *checker) readingOf(s *subscription, p *partition) *reading {
	r := s.readings[p]
	if r == nil {
		r = &reading{subscription: s, partition: p, position: NoPosition, positionAt: never, assignedAt: never, changedAt: never, cutAt: never, deliveredTo: -1}
		if c.rules.StartLatest[s.name] {
			r.begin = math.MaxInt64
		}
		s.readings[p] = r
	}
	return r
}

func (r *reading) state(m *message) *state {
	if m.rank >= len(r.states) {
		grown := make([]state, max(len(r.partition.messages), 2*len(r.states)))
		copy(grown, r.states)
		r.states = grown
	}
	return &r.states[m.rank]
}

// knownFrom notes that the subscription reads a partition from a position, if
// nothing was known.
func (r *reading) knownFrom(position int64) {
	if r.begin == math.MaxInt64 {
		r.begin = position
	}
}

func (c *checker) gainedReading(i int, r *reading) {
	r.changedAt = i
	if r.assignedAt != never {
		return
	}
	r.assignedAt = i
	if c.isAddedLater(i, r) {
		r.begin = 0
		return
	}
	// A subscription that starts at the latest has its place now: what is produced
	// later is above it.
	for _, m := range r.partition.log {
		if c.sentAt(m) > i {
			r.begin = min(r.begin, m.position)
			return
		}
	}
}

// isAddedLater reports whether a partition was added to its topic after the
// subscription had begun there: then it is read from its first message, wherever the
// subscription starts.
func (c *checker) isAddedLater(i int, r *reading) bool {
	topic := r.partition.name.Topic
	began := false
	for _, e := range c.entries[:i] {
		switch e := e.Event.(type) {
		case Gained:
			began = began || e.Subscription == r.subscription.name &&
				slices.ContainsFunc(e.Partitions, func(p Partition) bool { return p.Topic == topic })
		case Added:
			if began && e.Topic == topic && r.partition.name.Number >= e.From {
				return true
			}
		}
	}
	return false
}

func (r *reading) noteDelivered(i int, messages []*message) {
	for _, m := range messages {
		r.state(m).delivered = int32(i + 1)
		r.deliveredTo = max(r.deliveredTo, m.position)
	}
	if len(messages) > 0 {
		r.knownFrom(messages[0].position)
	}
}

func (r *reading) noteAcked(i int, m *message, by *group) {
	x := r.state(m)
	x.acked, x.by = int32(i+1), by
}

// noteStray notes an ACK that doesn't count.
func (r *reading) noteStray(i int, m *message) { r.state(m).stray = int32(i + 1) }

func (r *reading) isAcked(m *message) bool { return r.state(m).acked > 0 }

// firstUndone is the first message of the log that should be delivered to the
// subscription and that nobody who held it has ACKed, or nil.
func (r *reading) firstUndone() *message {
	p := r.partition
	for ; r.undone < len(p.log); r.undone++ {
		m := p.log[r.undone]
		if m.position >= r.begin && m.position >= p.expiredBefore && !r.isAcked(m) {
			return m
		}
	}
	return nil
}

// explain lists the entries that say what became of a message.
func (r *reading) explain(m *message) []evidence {
	s := r.state(m)
	return []evidence{{int(s.delivered) - 1, m}, {int(s.acked) - 1, m}, {int(s.stray) - 1, m}}
}

// deliveryOf lists the entry of a message's last delivery.
func (r *reading) deliveryOf(m *message) []evidence {
	if m == nil {
		return nil
	}
	return []evidence{{int(r.state(m).delivered) - 1, m}}
}

func (c *checker) positionRead(i int, e PositionRead) {
	r := c.readingOf(c.subscriptionOf(e.Subscription), c.partitionOf(e.Partition))
	name := fmt.Sprintf("the position of %s in %s/%d", e.Subscription, e.Partition.Topic, e.Partition.Number)
	if r.positionAt != never && e.Position < r.position && !c.mayGoBack(r) {
		c.report(i, "position-went-back", fmt.Sprintf("%s went back from %d to %d", name, r.position, e.Position), entry(r.positionAt), entry(i))
	}
	c.positionsRead = true
	earlier := r.positionAt
	r.position, r.positionAt = e.Position, i
	if e.Position == NoPosition {
		return
	}
	r.knownFrom(e.Position)
	x := r.firstUndone()
	if x == nil || x.position >= e.Position {
		return
	}
	c.report(i, "unacked-below-position", fmt.Sprintf("%s is %d, and nobody who held %d has ACKed it", name, e.Position, x.position),
		append(r.explain(x), entry(earlier), entry(i))...)
	for r.undone < len(r.partition.log) && r.partition.log[r.undone].position < e.Position {
		r.undone++ // said once
	}
}

// mayGoBack reports whether a position may have gone back since it was read last: if
// the log was cut off, for then its server loses and gains the partition at once; or
// if the topic is another one, as long as nobody has the partition.
func (c *checker) mayGoBack(r *reading) bool {
	deleted := c.deleted[r.partition.name.Topic]
	switch {
	case deleted && r.assignedAt != never && r.owners == 0:
		return true // and who is about to have it may write down where it begins
	case deleted || topicName(r.partition.name) != r.partition.name.Topic:
		return r.changedAt > r.positionAt
	}
	return r.cutAt > r.positionAt
}

func (c *checker) expected(e Expected) {
	c.anyExpected = true
	s := c.subscriptionOf(e.Subscription)
	for _, name := range e.Partitions {
		c.readingOf(s, c.partitionOf(name)).expected = true
	}
}
