package coordinator

import (
	"slices"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// maxTick is how far one Tick advances the clock at most (C6).
const maxTick = time.Second

func (s *State) tick(e Tick) {
	s.now += min(max(e.Elapsed, 0), maxTick)
	s.repeat(&s.consumeTrouble)
	s.repeat(&s.ackTrouble)
	if s.now >= s.nextTimeout {
		s.endStuck()
	}
}

// endStuck ends the clients whose oldest message is overdue, and finds out when to
// look again.
func (s *State) endStuck() {
	s.nextTimeout = never
	var stuck []*client
	for _, c := range s.order {
		if c.unacked == 0 {
			continue
		}
		if due := c.oldestSince + c.ackTimeout; due <= s.now {
			stuck = append(stuck, c)
		} else {
			s.nextTimeout = min(s.nextTimeout, due)
		}
	}
	for _, c := range stuck {
		s.end(c.id, wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT, true,
			"the oldest of %d unacknowledged messages was not ACKed within %v: its messages go to other clients of "+
				"subscription %q; ACK sooner, or ask for a longer ack_timeout when subscribing",
			c.unacked, c.ackTimeout, s.cfg.Subscription))
	}
}

// handed notes what a client was handed, for the clock on its oldest message.
func (s *State) handed(c *client, p *partition, from, to uint64) {
	if n := len(c.spans); n > 0 && c.spans[n-1].partition == p && c.spans[n-1].to == from {
		c.spans[n-1].to = to
		return
	}
	if len(c.spans) == 0 {
		c.oldestSince = s.now
		s.nextTimeout = min(s.nextTimeout, s.now+c.ackTimeout)
	}
	if len(c.spans) == cap(c.spans) {
		c.dropAckedSpans()
	}
	c.spans = append(c.spans, span{p, from, to})
}

// reviewOldest restarts the clock if the oldest message is no longer what it was.
// Each number is passed over once, so the cost is that of the deliveries.
func (s *State) reviewOldest(c *client) {
	moved := false
	for len(c.spans) > 0 {
		head := &c.spans[0]
		for head.from < head.to && !head.isUnacked(c, head.from) {
			head.from++
			moved = true
		}
		if head.from < head.to {
			break
		}
		c.spans = c.spans[1:]
	}
	if moved {
		c.oldestSince = s.now // later than before, so nextTimeout is still right
	}
}

func (sp *span) isUnacked(c *client, number uint64) bool {
	p := sp.partition
	return p.holder == c && p.backlog.isUnacked(number)
}

// dropAckedSpans forgets what is ACKed behind a first message that isn't: without
// it, a client that ACKs all but one message would make the list grow for as long
// as its timeout lasts.
func (c *client) dropAckedSpans() {
	c.spans = slices.DeleteFunc(c.spans, func(sp span) bool {
		return sp.partition.holder != c || sp.to <= sp.partition.first
	})
	c.spans = slices.Grow(c.spans, len(c.spans)+8) // half of it free: the scan is paid for by what is added
}
