package history

import "fmt"

// checkOrder checks the order in which a stream gets messages of a partition.
func (c *checker) checkOrder(i int, sh *share, h *hold, messages []*message) {
	for _, m := range messages {
		switch {
		case m.position <= h.last && (sh.group.exact || h.unacked > 0):
			c.reportOrder(i, sh, "out-of-order", fmt.Sprintf("stream %s got %s after %d", h.stream.name, m, h.last), m, h.lastDelivery())
		case sh.group.exact:
			c.checkAgain(i, sh, h, m)
			c.checkWaiting(i, sh, h, m)
			c.checkNext(i, sh, h, m)
		case h.unacked > 0:
			c.checkGap(i, sh, h, m)
		}
		h.last = m.position
	}
}

// lastDelivery is when the stream got the last message of the partition.
func (h *hold) lastDelivery() evidence {
	if len(h.messages) == 0 {
		return evidence{at: never}
	}
	x := h.messages[len(h.messages)-1]
	return evidence{x.at, x.message}
}

// checkAgain: while a server has a partition, it delivers nothing again that was
// ACKed. An ACK that came at the time of the end of its stream may have come too late.
func (c *checker) checkAgain(i int, sh *share, h *hold, m *message) {
	x := sh.reading.state(m)
	if at := int(x.acked) - 1; x.by == sh.group && at > sh.gainedAt && !c.soon(at, i) {
		c.reportOrder(i, sh, "acked-comes-again", fmt.Sprintf("stream %s got %s, which had been ACKed", h.stream.name, m), m, evidence{at, m})
	}
}

// checkWaiting: what an ended stream left comes before anything newer.
func (c *checker) checkWaiting(i int, sh *share, h *hold, m *message) {
	for len(sh.waiting) > 0 {
		x := sh.waiting[0]
		if !x.acked && x.position > m.position {
			return
		}
		if !x.acked && x.position < m.position {
			c.reportOrder(i, sh, "older-waits", fmt.Sprintf("stream %s got %s before %d, which stream %s had left without an ACK",
				h.stream.name, m, x.position, x.hold.stream.name), m, evidence{x.at, x.message})
		}
		sh.waiting = sh.waiting[1:]
	}
}

// checkNext: a server delivers a partition from where it began, without leaving
// anything out.
func (c *checker) checkNext(i int, sh *share, h *hold, m *message) {
	p, r := sh.partition, sh.reading
	if !sh.delivered {
		sh.delivered = true
		sh.frontier, sh.next = m.position, p.after(m.position)
		if x := r.firstUndone(); x != nil && x.position < m.position {
			c.reportOrder(i, sh, "skipped", fmt.Sprintf("stream %s got %s first, and %d isn't done", h.stream.name, m, x.position), m, r.explain(x)...)
		}
		c.checkTold(i, sh, h, m, r.deliveredTo)
		return
	}
	if m.position <= sh.frontier {
		return
	}
	for ; sh.next < len(p.log) && p.log[sh.next].position < m.position; sh.next++ {
		if x := p.log[sh.next]; x.position >= p.expiredBefore {
			c.reportOrder(i, sh, "skipped", fmt.Sprintf("stream %s got %s after %d, and %d was never delivered", h.stream.name, m, sh.frontier, x.position),
				m, append(r.explain(x), r.deliveryOf(p.byPosition[sh.frontier])...)...)
		}
	}
	for sh.next < len(p.log) && p.log[sh.next].position <= m.position {
		sh.next++
	}
	c.checkTold(i, sh, h, m, max(sh.frontier, r.deliveredTo))
	sh.frontier = m.position
}

// checkGap: while a stream holds something of a partition, the server has it and
// delivers it to nobody else, so that nothing can be left out.
func (c *checker) checkGap(i int, sh *share, h *hold, m *message) {
	p := sh.partition
	for n := p.after(h.last); n < len(p.log) && p.log[n].position < m.position; n++ {
		x := p.log[n]
		if x.position >= p.expiredBefore && !sh.reading.isAcked(x) {
			c.reportOrder(i, sh, "skipped", fmt.Sprintf("stream %s got %s after %d, and %d is not done", h.stream.name, m, h.last, x.position),
				m, h.lastDelivery())
			return
		}
	}
}

// reportOrder reports one problem an assignment.
func (c *checker) reportOrder(i int, sh *share, rule, problem string, m *message, explaining ...evidence) {
	if sh.reported {
		return
	}
	sh.reported = true
	c.report(i, rule, problem, append(explaining, evidence{i, m})...)
}
