package sharding

import (
	"cmp"
	"slices"

	"github.com/messageproxy/messageproxy/broker"
)

// naivePreference is the order in which a partition meets members, going clockwise
// from its own place.
func naivePreference(members []MemberID, p broker.TopicPartition) []MemberID {
	nearest := make(map[MemberID]uint64)
	for _, member := range members {
		nearest[member] = naiveDistance(member, p)
	}
	order := slices.Clone(members)
	slices.SortFunc(order, func(a, b MemberID) int {
		return cmp.Or(cmp.Compare(nearest[a], nearest[b]), cmp.Compare(a, b))
	})
	return order
}

// naiveDistance is the way from a partition to the nearest place of a member.
func naiveDistance(member MemberID, p broker.TopicPartition) uint64 {
	nearest := ^uint64(0)
	for place := range memberHashes(member) {
		nearest = min(nearest, place-partitionHash(p))
	}
	return nearest
}

// naiveSharing is Assign as its documentation reads, found by looking through
// everything for each decision.
type naiveSharing struct {
	members      []MemberID // distinct
	placements   []Placement
	owners       []MemberID
	floor, extra int
}

func naiveAssign(members []MemberID, placements []Placement) []MemberID {
	s := &naiveSharing{members: members, placements: placements, owners: make([]MemberID, len(placements))}
	if len(members) == 0 {
		return s.owners
	}
	s.floor, s.extra = len(placements)/len(members), len(placements)%len(members)
	for i, p := range placements {
		if slices.Contains(members, p.Owner) {
			s.owners[i] = p.Owner
		}
	}
	s.giveUp()
	for _, member := range members { // those that were kept above the floor
		s.extra -= max(0, len(s.owned(member))-s.floor)
	}
	s.adopt()
	return s.owners
}

// owned lists the partitions of a member, the nearest first.
func (s *naiveSharing) owned(member MemberID) []int {
	var owned []int
	for i, owner := range s.owners {
		if owner == member {
			owned = append(owned, i)
		}
	}
	slices.SortFunc(owned, func(i, j int) int {
		p, q := s.placements[i].Partition, s.placements[j].Partition
		return cmp.Or(cmp.Compare(naiveDistance(member, p), naiveDistance(member, q)), p.Compare(q))
	})
	return owned
}

// giveUp leaves everybody the floor, and one more to those whose next partition is
// the nearest, as many as there can be.
func (s *naiveSharing) giveUp() {
	type next struct {
		distance  uint64
		partition broker.TopicPartition
		member    MemberID
	}
	var above []next
	for _, member := range s.members {
		if owned := s.owned(member); len(owned) > s.floor {
			p := s.placements[owned[s.floor]].Partition
			above = append(above, next{naiveDistance(member, p), p, member})
		}
	}
	slices.SortFunc(above, func(a, b next) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), a.partition.Compare(b.partition))
	})
	for i, a := range above {
		keep := s.floor
		if i < s.extra {
			keep++
		}
		for _, partition := range s.owned(a.member)[keep:] {
			s.owners[partition] = NoMember
		}
	}
}

// adopt gives what nobody owns, in the order of the ring, to the first in its order
// of preference that has room.
func (s *naiveSharing) adopt() {
	var orphans []broker.TopicPartition
	for i, owner := range s.owners {
		if owner == NoMember {
			orphans = append(orphans, s.placements[i].Partition)
		}
	}
	slices.SortFunc(orphans, func(p, q broker.TopicPartition) int {
		return cmp.Or(cmp.Compare(partitionHash(p), partitionHash(q)), p.Compare(q))
	})
	for _, p := range orphans {
		for _, member := range naivePreference(s.members, p) {
			load := len(s.owned(member))
			if load > s.floor || load == s.floor && s.extra == 0 {
				continue
			}
			if load == s.floor {
				s.extra--
			}
			i := slices.IndexFunc(s.placements, func(placement Placement) bool { return placement.Partition == p })
			s.owners[i] = member
			break
		}
	}
}
