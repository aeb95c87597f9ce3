package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// stream is one consuming stream, as one side sees it.
type stream struct {
	side Side
	name string

	group        *group // nil until Subscribed
	subscribedAt int
	client       *client // of an SDK, or nil
	window       int
	ackTimeout   time.Duration

	// endsAt, leaves and sends are known in advance: the entries at which it ends, at
	// which it is told that it holds nothing of a partition any more, and from what was
	// sent on it to the return of that send, if that had to wait.
	endsAt int
	leaves map[*partition][]int
	sends  []span

	// waits: some of its sends had to wait.
	waits bool

	ended bool
	// thrownOutAt is when another stream got what it held; it has ended from then on,
	// although it is recorded later.
	thrownOutAt int
	expiryTold  int
	drainTold   int
	leftAt      int
	told        bool // something of it was reported

	holds map[*partition]*hold
	held  int // Invariant: the sum of the holds' unacked
	// ahead counts ACKs, as a client sees them, of what it didn't hold. What was on its
	// way to it when it ACKed it, it held for the server, and doesn't any more.
	ahead int
	// queue is what it was delivered, in order; the first is unACKed and held, if there
	// is one.
	queue []*held
	// doubtful are messages of which it isn't known whether it holds them.
	doubtful map[*message]bool
	// oldestSince is when the first of the queue became that; before is what it was until
	// changedAt.
	oldestSince, before, changedAt time.Time

	lastSend int // the last entry of what is sent on it
	// waited is the last send that took time.
	waited   span
	suspects []suspicion
}

// hold is what one stream holds of one partition, and the holding period: from the
// first delivery until it is over.
type hold struct {
	stream    *stream
	partition *partition
	share     *share  // nil if nothing is known of what the server has
	messages  []*held // by position; messages[:acked] are ACKed
	acked     int
	unacked   int
	last      int64 // the position that was delivered last
	over      bool  // ACKs don't count any more
	released  bool  // what it left waits for the next holder
	suspected bool
	// leaving: the partition was withdrawn; until then its ACKs may count.
	leaving time.Time
	// leavingAt is the entry that said so, promised the time until then at the server.
	leavingAt int
	promised  time.Time
}

// held is one message of a hold.
type held struct {
	*message
	hold  *hold
	at    int // the entry of its delivery
	acked bool
}

func (c *checker) streamOf(side Side, name string) *stream {
	s := c.streams[side][name]
	if s == nil {
		s = &stream{
			side: side, name: name, subscribedAt: never, endsAt: never, thrownOutAt: never, expiryTold: never, drainTold: never, leftAt: never, lastSend: never,
			leaves: make(map[*partition][]int), holds: make(map[*partition]*hold),
		}
		c.streams[side][name] = s
	}
	return s
}

func (c *checker) subscribed(i int, e Subscribed) {
	s := c.streamOf(e.Side, e.Stream)
	s.subscribedAt = i
	s.group = c.groupOf(e.Side, e.Server, e.Subscription)
	s.window, s.ackTimeout = e.Window, e.AckTimeout
	if s.ackTimeout == 0 {
		s.ackTimeout = c.rules.AckTimeout
	}
	if e.Client != "" {
		s.client = c.named[e.Client]
	}
}

func (c *checker) delivered(i int, e Delivered) {
	s := c.streamOf(e.Side, e.Stream)
	p := c.partitionOf(e.Partition)
	messages := make([]*message, len(e.Messages))
	for k := range e.Messages {
		m := p.messageAt(&e.Messages[k])
		messages[k] = m
		c.name(i, m, e.Messages[k].ID)
		c.checkContent(i, e, k, m)
	}
	if s.group == nil || s.ended || len(messages) == 0 {
		return // what a stream gets late is nobody's
	}
	r := c.readingOf(s.group.subscription, p)
	for _, m := range messages {
		c.confirmSuspicions(i, s, m)
	}
	if s.leftAt != never && !s.told && c.decided(i, s).Sub(c.at(s.leftAt)) > c.rules.Slack {
		s.told = true
		c.report(i, "delivered-after-leave", fmt.Sprintf("stream %s got messages after it had left", s.name), entry(s.leftAt), evidence{i, messages[0]})
	}
	if s.drainTold != never && !s.told {
		s.told = true
		c.report(i, "delivered-while-draining", fmt.Sprintf("stream %s got messages after it was told SHUTTING_DOWN", s.name), entry(s.drainTold), evidence{i, messages[0]})
	}
	if s.thrownOutAt != never {
		c.servedAfterEnd(i, s, messages)
		return
	}
	if s.client != nil {
		s.client.delivered(s.side, messages)
	}
	sh := s.group.shareOf(p)
	if s.group.exact {
		if whose := c.attribute(i, s, sh, messages[0]); whose != current {
			r.noteDelivered(i, messages)
			s.doubt(whose, messages)
			return
		}
	}
	h := c.periodOf(i, s, p)
	c.takeOver(i, sh, h, messages)
	c.checkOrder(i, sh, h, messages)
	r.noteDelivered(i, messages)
	c.hold(i, h, messages)
}

// doubt notes messages that a stream may hold, or may have lost already.
func (s *stream) doubt(whose attribution, messages []*message) {
	if whose == late {
		return
	}
	if s.doubtful == nil {
		s.doubtful = make(map[*message]bool)
	}
	for _, m := range messages {
		s.doubtful[m] = true
	}
}

// checkContent compares a message with the log.
func (c *checker) checkContent(i int, e Delivered, k int, m *message) {
	seen := &e.Messages[k]
	p := m.partition
	switch {
	case m.token != "" && seen.Token != "" && m.token != seen.Token:
		c.report(i, "delivered-wrong", fmt.Sprintf("stream %s got %q at %s, where %q is", e.Stream, seen.Token, m, m.token), evidence{i, m})
	case !m.logged && c.mustBeLogged(p, m.position):
		c.report(i, "not-in-log", fmt.Sprintf("stream %s got a message at %s, where the log has none", e.Stream, m), evidence{i, m})
	}
}

// periodOf returns what a stream holds of a partition that something is delivered of.
// That is something new if the partition was to leave: nothing more is delivered of
// it then, until it comes back.
func (c *checker) periodOf(i int, s *stream, p *partition) *hold {
	h := s.holds[p]
	if h != nil && !h.leaving.IsZero() {
		c.end(i, h)
		h = nil
	}
	if h == nil {
		h = &hold{stream: s, partition: p, last: -1}
		if s.group.known() {
			h.share = s.group.shareOf(p)
		}
		s.holds[p] = h
	}
	return h
}

// hold adds delivered messages to what a stream holds.
func (c *checker) hold(i int, h *hold, messages []*message) {
	s := h.stream
	added := make([]held, len(messages))
	for k, m := range messages {
		x := &added[k]
		*x = held{message: m, hold: h, at: i}
		place := len(h.messages)
		if place > 0 && h.messages[place-1].position >= m.position { // out of order, and reported
			var again bool
			place, again = h.find(m.position)
			if again {
				continue
			}
		}
		h.messages = slices.Insert(h.messages, place, x)
		h.acked = min(h.acked, place)
		h.unacked++
		s.held++
		c.dropDone(i, s)
		s.queue = append(s.queue, x)
		if len(s.queue) == 1 {
			s.setOldest(c, i)
		}
		h.last = m.position
	}
	if s.window > 0 && s.held > s.window+s.ahead && !s.told {
		s.told = true
		c.report(i, "client-window", fmt.Sprintf("stream %s holds %d messages, and its window is %d", s.name, s.held, s.window),
			entry(s.subscribedAt), entry(i))
	}
}

// find is the place of a position among what was delivered.
func (h *hold) find(position int64) (int, bool) {
	return slices.BinarySearchFunc(h.messages, position, func(x *held, at int64) int { return cmp.Compare(x.position, at) })
}

func (c *checker) acked(i int, e Acked) {
	s := c.streamOf(e.Side, e.Stream)
	if s.group == nil {
		return
	}
	judged := s.side == s.group.subscription.judge()
	by := s.group
	if !by.exact || s.ended || s.thrownOutAt != never || c.overdue(i, s) {
		by = nil // it may come too late
	}
	for _, id := range e.IDs {
		m := c.messages[id]
		if m == nil {
			continue
		}
		if s.client != nil && !s.client.ok[m] {
			c.report(i, "acked-unhandled", fmt.Sprintf("client %s ACKed the message at %s, which its handler hasn't done", s.client.name, m),
				entry(s.client.began(m)), evidence{i, m})
		}
		r := c.readingOf(s.group.subscription, m.partition)
		if c.ackHeld(i, s, m) || s.doubtful[m] || c.mayHoldAgain(i, s, m) {
			delete(s.doubtful, m)
			if judged {
				r.noteAcked(i, m, by)
			}
		} else {
			r.noteStray(i, m)
			if s.side == Client {
				s.ahead++
			}
		}
	}
}

// mayHoldAgain: while a send waited, the server may have lost a partition, got it again
// and given the stream the same messages again. All that is recorded after the wait, and
// an ACK counts before.
func (c *checker) mayHoldAgain(i int, s *stream, m *message) bool {
	if s.side != Server || !s.group.exact || !c.decided(i, s).Before(c.at(i)) {
		return false
	}
	sh := s.group.shareOf(m.partition)
	h := sh.holder
	return sh.assigned && sh.fetchOf(m).last > sh.gainedAt && (h == nil || h.stream == s)
}

// ackHeld takes an ACK and reports whether it counts: whether the stream holds the
// message.
func (c *checker) ackHeld(i int, s *stream, m *message) bool {
	h := s.holds[m.partition]
	if h == nil || h.over || !h.leaving.IsZero() && c.at(i).After(h.leaving) {
		return false
	}
	k, ok := h.find(m.position)
	if !ok || h.messages[k].acked {
		return false
	}
	h.messages[k].acked = true
	for h.acked < len(h.messages) && h.messages[h.acked].acked {
		h.acked++
	}
	h.unacked--
	s.held--
	c.dropDone(i, s)
	h.forgetAcked()
	return true
}

// forgetAcked keeps a hold as small as what is in flight, amortized.
func (h *hold) forgetAcked() {
	if h.acked > 64 && 2*h.acked > len(h.messages) {
		h.messages = append([]*held(nil), h.messages[h.acked:]...)
		h.acked = 0
	}
}

// lastCommit is how long a server may take, after the time that it told a stream, to
// make the ACKs durable that came until then; those that come meanwhile may count.
const lastCommit = 5 * time.Second

func (c *checker) withdrawn(i int, e Withdrawn) {
	s := c.streamOf(e.Side, e.Stream)
	for _, name := range e.Partitions {
		p := c.partitionOf(name)
		h := s.holds[p]
		if h == nil {
			continue
		}
		if e.TimeLeft <= 0 {
			c.end(i, h)
			if s.side == Client { // it may have ACKed what is on its way to it anew
				s.ahead += s.window
			}
		} else {
			if !s.group.exact { // otherwise it is known when the partition goes
				h.leaving = c.at(i).Add(e.TimeLeft + lastCommit + c.rules.Slack)
			}
			h.leavingAt, h.promised = i, c.decided(i, s).Add(e.TimeLeft)
		}
	}
}

// end ends a holding period: nothing of it counts any more.
func (c *checker) end(i int, h *hold) {
	if h.over {
		return
	}
	h.over = true
	s := h.stream
	s.held -= h.unacked
	delete(s.holds, h.partition)
	s.suspects = slices.DeleteFunc(s.suspects, func(x suspicion) bool { return x.hold == h })
	c.dropDone(i, s)
	if h.share != nil && h.share.holder == h {
		h.share.holder = nil
	}
}

func (c *checker) consumeEnded(i int, e ConsumeEnded) {
	s := c.streamOf(e.Side, e.Stream)
	if s.ended {
		return
	}
	if s.group != nil && s.thrownOutAt == never {
		c.checkThrownOut(i, s, e.Code)
		if len(s.queue) > 0 {
			c.checkKept(i, s)
		}
	}
	s.ended = true
	s.suspects = nil
	for _, h := range s.holds {
		// Unless the server ended the stream, ACKs that are still under way may count
		// until somebody else gets what it held.
		c.release(h)
		if e.Code != "" {
			h.over = true
		}
	}
}

func (c *checker) sent(e Sent) {
	s := c.streamOf(Server, e.Stream)
	s.waited, s.sends = s.sends[0], s.sends[1:]
}
