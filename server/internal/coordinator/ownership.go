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
	placements := s.placements()
	owners := s.ring.Assign(placements)
	shares := make(map[*client][]broker.TopicPartition, len(s.order))
	for i, placement := range placements {
		p := s.partitions[placement.Partition]
		c := s.clients[ClientID(owners[i])]
		s.own(p, c)
		if c != nil {
			shares[c] = append(shares[c], p.TopicPartition)
		}
	}
	for _, c := range s.order {
		s.tellAssignment(c, shares[c])
	}
}

// placements lists the partitions that can be shared out, by name.
func (s *State) placements() []sharding.Placement {
	placements := make([]sharding.Placement, 0, len(s.sorted))
	for _, p := range s.sorted {
		if p.revoking {
			continue
		}
		placement := sharding.Placement{Partition: p.TopicPartition, Owner: sharding.NoMember}
		if p.owner != nil {
			placement.Owner = sharding.MemberID(p.owner.id)
		}
		placements = append(placements, placement)
	}
	return placements
}

// updateRing makes the ring's members those clients that want messages.
func (s *State) updateRing() {
	var members []sharding.MemberID
	for _, c := range s.order {
		if c.accepted && !c.left {
			members = append(members, sharding.MemberID(c.id))
		}
	}
	if !slices.Equal(members, s.ring.Members()) {
		s.ring = sharding.NewRing(members...)
	}
}

func (s *State) own(p *partition, c *client) {
	if p.owner == c {
		return
	}
	s.disown(p)
	p.owner = c
	if c != nil {
		c.owned++
	}
	s.enqueue(p)
}

func (s *State) tellAssignment(c *client, share []broker.TopicPartition) {
	if !c.accepted || c.told && slices.Equal(c.assignment, share) {
		return
	}
	c.told, c.assignment = true, share
	s.emit(Assignment{c.id, share})
}
