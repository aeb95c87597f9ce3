package coordinator

import (
	"slices"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/sharding"
)

// shareOut gives every partition its owner (C4) and tells each client whose share
// has changed. What is in flight stays where it is (C5).
func (s *State) shareOut() {
	s.ownershipDirty = false
	if s.draining {
		return // nothing is delivered any more
	}
	s.updateRing()
	shared, placements := s.placements()
	for i, owner := range s.ring.Assign(placements) {
		s.own(shared[i], ClientID(owner))
	}
	s.tellAssignments()
}

// placements lists the partitions that can be shared out, by name.
func (s *State) placements() ([]*partition, []sharding.Placement) {
	shared := make([]*partition, 0, len(s.sorted))
	placements := make([]sharding.Placement, 0, len(s.sorted))
	for _, p := range s.sorted {
		if p.revoking {
			continue
		}
		placement := sharding.Placement{Partition: p.TopicPartition, Owner: sharding.NoMember}
		if p.owner != nil {
			placement.Owner = sharding.MemberID(p.owner.id)
		}
		shared = append(shared, p)
		placements = append(placements, placement)
	}
	return shared, placements
}

// updateRing makes the ring's members those clients that want messages. Where few
// have come or gone, that costs less than a new ring.
func (s *State) updateRing() {
	var members []sharding.MemberID
	for _, c := range s.order {
		if c.accepted && !c.left {
			members = append(members, sharding.MemberID(c.id))
		}
	}
	gone, come := difference(s.ring.Members(), members), difference(members, s.ring.Members())
	if len(gone)+len(come) > 4 {
		s.ring = sharding.NewRing(members...)
		return
	}
	for _, member := range gone {
		s.ring = s.ring.Without(member)
	}
	for _, member := range come {
		s.ring = s.ring.With(member)
	}
}

// difference returns the members of a that aren't in b. Both are sorted.
func difference(a, b []sharding.MemberID) []sharding.MemberID {
	var rest []sharding.MemberID
	for _, member := range a {
		for len(b) > 0 && b[0] < member {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != member {
			rest = append(rest, member)
		}
	}
	return rest
}

// own makes a client, or nobody if there is none, the owner of a partition.
func (s *State) own(p *partition, id ClientID) {
	if p.owner != nil && p.owner.id == id {
		return
	}
	s.disown(p)
	if c := s.clients[id]; c != nil {
		p.owner = c
		c.owned++
		c.shareChanged = true
		s.enqueue(p)
	}
}

func (s *State) disown(p *partition) {
	if c := p.queuedFor; c != nil {
		p.dequeue()
		s.markReady(c) // there may be room for what was behind it
	}
	if p.owner != nil {
		p.owner.owned--
		p.owner.shareChanged = true
		p.owner = nil
	}
}

// tellAssignments tells the clients whose share may have changed, if it has.
func (s *State) tellAssignments() {
	shares := make(map[*client][]broker.TopicPartition)
	for _, p := range s.sorted {
		if c := p.owner; c != nil && c.shareChanged {
			shares[c] = append(shares[c], p.TopicPartition)
		}
	}
	for _, c := range s.order {
		if c.shareChanged {
			c.shareChanged = false
			s.tellAssignment(c, shares[c])
		}
	}
}

func (s *State) tellAssignment(c *client, share []broker.TopicPartition) {
	if c.told && slices.Equal(c.assignment, share) {
		return
	}
	c.told, c.assignment = true, share
	s.emit(Assignment{c.id, share})
}
