package coordinator

import (
	"slices"
	"strings"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// phase is where the consumer is in its life.
type phase int

const (
	idle    phase = iota // none, and nobody needs one
	opening              // OpenConsumer was sent
	open                 // Opened was received
	closing              // CloseConsumer was sent
	waiting              // none, until reopenAt
)

// The back-off between attempts to open a consumer.
const (
	minReopenDelay = 250 * time.Millisecond
	maxReopenDelay = 5 * time.Second
)

func (s *State) join(e Join) {
	if s.draining {
		s.emit(End{e.Client, ShuttingDown()})
		return
	}
	if conflict := s.conflict(e.Spec); conflict != nil {
		s.emit(End{e.Client, conflict})
		return
	}
	c := &client{id: e.Client, spec: e.Spec, maxUnacked: s.cfg.MaxUnackedMessages, ackTimeout: s.cfg.AckTimeout}
	if e.MaxUnackedMessages > 0 {
		c.maxUnacked = min(e.MaxUnackedMessages, s.cfg.MaxUnackedMessages)
	}
	if e.AckTimeout > 0 {
		c.ackTimeout = min(e.AckTimeout, s.cfg.MaxAckTimeout)
	}
	s.clients[c.id] = c
	i, _ := slices.BinarySearchFunc(s.order, c.id, compareClient)
	s.order = slices.Insert(s.order, i, c)
	s.admit(c)
}

func compareClient(c *client, id ClientID) int {
	switch {
	case c.id < id:
		return -1
	case c.id > id:
		return 1
	}
	return 0
}

// admit accepts a new client at once if the consumer is open, or if it is known why
// it isn't; otherwise it waits for how opening it goes.
func (s *State) admit(c *client) {
	troubled := s.consumeTrouble.active() && s.consumeTrouble.passing
	switch {
	case sameSpec(c.spec, s.spec) && (s.phase == open || troubled):
		s.accept(c)
	case s.phase == waiting:
		s.reopenAt = s.now
	}
}

func (s *State) accept(c *client) {
	c.accepted, c.shareChanged = true, true
	s.emit(Subscribed{c.id, c.maxUnacked, c.ackTimeout})
	s.announceTo(c, &s.consumeTrouble)
	s.announceTo(c, &s.ackTrouble)
	if c.early.Count > 0 {
		s.emit(c.early)
		c.early = NotHeld{}
	}
	s.ownershipDirty = true
}

func (s *State) acceptAll() {
	for _, c := range s.order {
		if s.awaits(c) {
			s.accept(c)
		}
	}
}

// awaits reports whether how opening the consumer went is what a client waits for.
// Whoever sent leave while waiting may have wanted other topics.
func (s *State) awaits(c *client) bool { return !c.accepted && sameSpec(c.spec, s.spec) }

// conflict says why a client can't join those that are there, or nil.
func (s *State) conflict(spec Spec) *messageproxyv1.Error {
	for _, c := range s.order {
		if !c.counts() {
			continue
		}
		if !slices.Equal(c.spec.Topics, spec.Topics) {
			return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT, true,
				"subscription %q is in use with the topics %s: give the same ones, or another subscription",
				s.cfg.Subscription, strings.Join(c.spec.Topics, ", "))
		}
		if c.spec.Start != spec.Start {
			return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT, true,
				"subscription %q is in use with another start position: give the same one, or another subscription",
				s.cfg.Subscription)
		}
		return nil
	}
	return nil
}

// counts reports whether the subscription goes on for this client's sake (C8).
func (c *client) counts() bool { return !c.left || c.unacked > 0 }

func (s *State) leave(e Leave) {
	c := s.clients[e.Client]
	if c == nil || c.left {
		return
	}
	c.left = true
	s.ownershipDirty = true
}

// end ends a client's stream, with OK if err is nil. What it held waits again, in
// order and before newer messages.
func (s *State) end(id ClientID, err *messageproxyv1.Error) {
	c := s.clients[id]
	if c == nil {
		return
	}
	delete(s.clients, id)
	i, _ := slices.BinarySearchFunc(s.order, id, compareClient)
	s.order = slices.Delete(s.order, i, i+1)
	s.ownershipDirty = true
	s.emit(End{id, err})
	if c.unacked == 0 && c.owned == 0 {
		return
	}
	for _, p := range s.sorted {
		if p.owner == c {
			s.disown(p)
		}
		if p.holder == c {
			p.reclaim()
			if p.revoking {
				s.dropWaiting(p)
			}
			s.handBack(p)
		}
	}
}

// reviewConsumer opens the consumer when somebody needs it and closes it when
// nobody does.
func (s *State) reviewConsumer() {
	needed := s.firstCounting()
	if needed == nil || !sameSpec(needed.spec, s.spec) {
		defer s.forgetPast()
	}
	switch {
	case needed == nil && (s.phase == open || s.phase == opening):
		s.close()
	case needed == nil && s.phase == waiting:
		s.phase = idle
	case needed != nil && (s.phase == open || s.phase == opening) && !sameSpec(needed.spec, s.spec):
		s.close()
	case needed != nil && (s.phase == idle || s.phase == waiting && s.now >= s.reopenAt):
		s.phase, s.spec = opening, needed.spec
		s.emit(OpenConsumer{s.spec})
	}
}

// forgetPast is for when nobody is left of those who were connected: who comes next
// begins afresh.
func (s *State) forgetPast() {
	clear(s.attempts)
	s.consumeTrouble.err = nil
	s.reopenDelay = 0
}

func (s *State) firstCounting() *client {
	for _, c := range s.order {
		if c.counts() {
			return c
		}
	}
	return nil
}

func sameSpec(a, b Spec) bool { return a.Start == b.Start && slices.Equal(a.Topics, b.Topics) }

// close gives up the consumer and everything that came from it.
func (s *State) close() {
	s.flushAcks()
	s.dropAll()
	s.phase = closing
	s.emit(CloseConsumer{})
}

func (s *State) opened() {
	if s.phase != opening {
		return // given up meanwhile; Closed follows
	}
	s.phase = open
	s.recover(&s.consumeTrouble)
	s.acceptAll()
}

func (s *State) openFailed(e OpenFailed) {
	if s.phase != opening {
		s.closed()
		return
	}
	s.reopenLater()
	if passes(e.Err) {
		s.begin(&s.consumeTrouble, e.Err, true)
		s.acceptAll()
		return
	}
	for _, c := range slices.Clone(s.order) {
		if s.awaits(c) {
			s.end(c.id, wire.Error(e.Err))
		}
	}
	s.begin(&s.consumeTrouble, e.Err, false)
}

func (s *State) reopenLater() {
	s.reopenDelay = min(max(2*s.reopenDelay, minReopenDelay), maxReopenDelay)
	s.phase, s.reopenAt = waiting, s.now+s.reopenDelay
}

// closed is called when the consumer is gone. Whoever subscribed meanwhile has
// waited for it.
func (s *State) closed() {
	if s.phase != closing {
		return
	}
	if s.consumeTrouble.active() {
		s.reopenLater()
		return
	}
	s.phase = idle
}
