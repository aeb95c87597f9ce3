package sharding

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/messageproxy/messageproxy/broker"
)

// MemberID names a client for as long as it is connected. Zero is no member.
type MemberID uint64

// NoMember is the owner of a partition that nobody owns.
const NoMember MemberID = 0

// pointsPerMember is at how many places a member stands on the ring. Quotas make
// the assignment fair, whatever this number; more points only share what a member
// gives up, or leaves behind, among more of the others.
const pointsPerMember = 16

// Ring orders members by preference for each partition. It is immutable; the zero
// value, and nil, is the ring without members.
type Ring struct {
	// members is sorted and has no repetitions.
	members []MemberID
	// points has pointsPerMember points of every member, sorted.
	points []point
}

// point is a place of a member on the ring.
type point struct {
	hash uint64
	// member is an index into Ring.members.
	member int32
}

func (p point) compare(q point) int {
	if p.hash != q.hash {
		return cmp.Compare(p.hash, q.hash)
	}
	return cmp.Compare(p.member, q.member)
}

// NewRing returns the ring of these members. Order and repetitions don't matter,
// and NoMember is left out.
func NewRing(members ...MemberID) *Ring {
	sorted := slices.Clone(members)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(sorted) > 0 && sorted[0] == NoMember {
		sorted = sorted[1:]
	}
	points := make([]point, 0, len(sorted)*pointsPerMember)
	for i, member := range sorted {
		for hash := range memberHashes(member) {
			points = append(points, point{hash, int32(i)})
		}
	}
	slices.SortFunc(points, point.compare)
	return &Ring{members: sorted, points: points}
}

// With returns the ring that has member too: what NewRing returns, at less cost.
func (r *Ring) With(member MemberID) *Ring {
	r = r.orEmpty()
	at, found := slices.BinarySearch(r.members, member)
	if found || member == NoMember {
		return r
	}
	added := make([]point, 0, pointsPerMember)
	for hash := range memberHashes(member) {
		added = append(added, point{hash, int32(at)})
	}
	slices.SortFunc(added, point.compare)
	return &Ring{
		members: slices.Insert(slices.Clip(r.members), at, member),
		points:  r.pointsWith(added, int32(at)),
	}
}

// pointsWith returns the ring's points and those that are added, both sorted, for the
// member that is now at an index. Those from there on move up by one. All of it is done
// in one pass: a ring of many members is large, and is copied for each that comes.
func (r *Ring) pointsWith(added []point, at int32) []point {
	points := make([]point, 0, len(r.points)+len(added))
	for _, p := range r.points {
		if p.member >= at {
			p.member++
		}
		for len(added) > 0 && added[0].compare(p) < 0 {
			points, added = append(points, added[0]), added[1:]
		}
		points = append(points, p)
	}
	return append(points, added...)
}

// Without returns the ring that lacks member: what NewRing returns, at less cost.
func (r *Ring) Without(member MemberID) *Ring {
	r = r.orEmpty()
	at, found := slices.BinarySearch(r.members, member)
	if !found {
		return r
	}
	rest := make([]point, 0, len(r.points)-pointsPerMember)
	for _, p := range r.points {
		switch {
		case p.member < int32(at):
			rest = append(rest, p)
		case p.member > int32(at):
			rest = append(rest, point{p.hash, p.member - 1})
		}
	}
	return &Ring{members: slices.Delete(slices.Clone(r.members), at, at+1), points: rest}
}

// Members returns the members in ascending order. The caller must not change it.
func (r *Ring) Members() []MemberID { return r.orEmpty().members }

// Preference yields every member once, in the order in which partition prefers
// them.
func (r *Ring) Preference(partition broker.TopicPartition) iter.Seq[MemberID] {
	return func(yield func(MemberID) bool) {
		r := r.orEmpty()
		met := make([]bool, len(r.members))
		start := r.successor(partitionHash(partition))
		for i := range r.points {
			member := r.points[(start+i)%len(r.points)].member
			if met[member] {
				continue
			}
			met[member] = true
			if !yield(r.members[member]) {
				return
			}
		}
	}
}

// successor returns the index of the first point at or after hash, going
// clockwise: past the last comes the first.
func (r *Ring) successor(hash uint64) int {
	i, _ := slices.BinarySearchFunc(r.points, hash, func(p point, hash uint64) int {
		return cmp.Compare(p.hash, hash)
	})
	if i == len(r.points) {
		return 0
	}
	return i
}

func (r *Ring) orEmpty() *Ring {
	if r == nil {
		return &Ring{}
	}
	return r
}

// memberHashes yields the places of member on the ring, unsorted.
func memberHashes(member MemberID) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		var b [9]byte
		binary.LittleEndian.PutUint64(b[:8], uint64(member))
		for i := range pointsPerMember {
			b[8] = byte(i)
			if !yield(xxhash.Sum64(b[:])) {
				return
			}
		}
	}
}

// partitionHash is the place of a partition on the ring.
func partitionHash(p broker.TopicPartition) uint64 {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:8], xxhash.Sum64String(p.Topic))
	binary.LittleEndian.PutUint32(b[8:], uint32(p.Partition))
	return xxhash.Sum64(b[:])
}
