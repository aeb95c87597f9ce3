package coordinator

import (
	"strings"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// maxErrorIDs is how many message ids one error names at most.
const maxErrorIDs = 1000

// ack applies one request's ACKs. Only the holder's count (C1).
func (s *State) ack(e Ack) {
	c := s.clients[e.Client]
	if c == nil {
		return // its end is on its way
	}
	var p *partition
	notHeld := NotHeld{Client: c.id}
	for i, id := range e.IDs {
		if p == nil || p.TopicPartition != id.Partition {
			p = s.partitions[id.Partition]
		}
		if p == nil || p.holder != c || !s.ackOne(c, p, id) {
			notHeld.add(e.Texts[i])
		}
	}
	s.tellNotHeld(c, notHeld)
	s.reviewOldest(c)
	s.markReady(c)
}

// tellNotHeld keeps what is wrong with ACKs that came too early until the client
// has been told that it is subscribed, which is its first response.
func (s *State) tellNotHeld(c *client, notHeld NotHeld) {
	switch {
	case notHeld.Count == 0:
	case !c.accepted && c.early.Count > 0:
		c.early = c.early.Merge(notHeld)
	case !c.accepted:
		c.early = notHeld
	default:
		s.emit(notHeld)
	}
}

func (s *State) ackOne(c *client, p *partition, id broker.MessageID) bool {
	size, ok := p.ack(id.Position)
	if !ok {
		return false
	}
	s.acks = append(s.acks, id)
	s.bytes -= size
	s.messages--
	c.unacked--
	c.bytes -= size
	if p.paused {
		s.reviewPause(p)
	}
	if p.inFlight == 0 {
		s.handBack(p)
	}
	return true
}

// handBack is called when nothing of a partition is in flight any more: whoever
// waited for that goes on (C5).
func (s *State) handBack(p *partition) {
	p.holder = nil
	if p.revoking {
		s.release(p)
		return
	}
	s.enqueue(p)
}

func (s *State) flushAcks() {
	if n := len(s.acks); n > s.handedOn {
		s.emit(AckMessages{s.acks[s.handedOn:n:n]})
		s.handedOn = n
	}
}

// NotHeld tells a client which of the ids that it ACKed don't count.
type NotHeld struct {
	Client ClientID
	// IDs are the first of them, Count is how many there are.
	IDs   []string
	Count int
}

func (NotHeld) isEffect() {}

// Recipient is n.Client.
func (n NotHeld) Recipient() ClientID { return n.Client }

func (n *NotHeld) add(id string) {
	n.Count++
	if len(n.IDs) < maxErrorIDs && len(id) <= maxIDLength {
		n.IDs = append(n.IDs, strings.Clone(id)) // it is cut from its request
	}
}

// maxIDLength is the length of the longest id there can be; longer ones are
// counted and not repeated.
const maxIDLength = 512

// Merge returns one NotHeld for two.
func (n NotHeld) Merge(m NotHeld) NotHeld {
	n.Count += m.Count
	n.IDs = append(n.IDs, m.IDs[:min(len(m.IDs), maxErrorIDs-len(n.IDs))]...)
	return n
}

// Error is what to send.
func (n NotHeld) Error() *messageproxyv1.Error {
	e := wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD, false,
		"%d message ids of an ACK name no message that this client holds (ACKed before, withdrawn, or never its own); "+
			"they are ignored", n.Count)
	e.MessageIds = n.IDs
	return e
}
