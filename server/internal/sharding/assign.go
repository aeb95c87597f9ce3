package sharding

import (
	"cmp"
	"slices"

	"github.com/messageproxy/messageproxy/broker"
)

// Placement is a partition and who owns it at present.
type Placement struct {
	Partition broker.TopicPartition
	// Owner is NoMember if nobody owns the partition. One that isn't a member of
	// the ring (any more) counts as nobody.
	Owner MemberID
}

// Assign returns the new owner of each partition, by the index of its placement;
// all are NoMember if the ring has no members. A partition is listed once.
//
// With n members and P partitions, every member owns ⌊P/n⌋ or ⌈P/n⌉ of them, and
// as many partitions keep their owner as in any assignment of that kind. Where
// owned(m) is what member m owns before, and extra is P mod n, that is
//
//	Σ min(owned(m), ⌊P/n⌋) + min(extra, number of m with owned(m) > ⌊P/n⌋)
//
// It takes O(P·log P + n) steps; BenchmarkJoin and its like measure them.
func (r *Ring) Assign(placements []Placement) []MemberID {
	r = r.orEmpty()
	owners := make([]MemberID, len(placements))
	if len(r.members) == 0 || len(placements) == 0 {
		return owners
	}
	a := newAssignment(r, placements)
	orphans := append(a.unowned(), a.giveUp()...)
	a.adopt(orphans)
	for i, owner := range a.owner {
		owners[i] = r.members[owner]
	}
	return owners
}

// nobody is the index of no member.
const nobody int32 = -1

// assignment is an assignment in the making. Members are indexes into
// ring.members, partitions are indexes into placements.
type assignment struct {
	ring       *Ring
	placements []Placement
	// owner is a member, or nobody, for each partition.
	owner []int32
	// load is how many partitions each member owns.
	load []int
	// floor is the quota of every member; extra members, and no more, can have one
	// partition above it. extra counts those that are still to be had.
	floor, extra int
}

func newAssignment(r *Ring, placements []Placement) *assignment {
	a := &assignment{
		ring:       r,
		placements: placements,
		owner:      make([]int32, len(placements)),
		load:       make([]int, len(r.members)),
		floor:      len(placements) / len(r.members),
		extra:      len(placements) % len(r.members),
	}
	for i, p := range placements {
		a.owner[i] = nobody
		if member, found := slices.BinarySearch(r.members, p.Owner); found {
			a.owner[i] = int32(member)
			a.load[member]++
		}
	}
	return a
}

// candidate is a partition that may have to change its owner.
type candidate struct {
	partition int32
	// key orders candidates: the partition's hash, or its way to its owner.
	key uint64
}

func (a *assignment) compare(c, d candidate) int {
	if c.key != d.key {
		return cmp.Compare(c.key, d.key)
	}
	return a.placements[c.partition].Partition.Compare(a.placements[d.partition].Partition)
}

// unowned returns the partitions that nobody owns.
func (a *assignment) unowned() []candidate {
	var unowned []candidate
	for i, owner := range a.owner {
		if owner == nobody {
			unowned = append(unowned, candidate{int32(i), partitionHash(a.placements[i].Partition)})
		}
	}
	return unowned
}

// surplus is what a member owns above the floor.
type surplus struct {
	member int32
	// partitions are those with the farthest way to the member, the nearest of them
	// first: that one the member may keep if it gets a quota above the floor.
	partitions []candidate
}

// giveUp takes from members what their quotas forbid and returns it. Which
// members keep a partition above the floor changes nothing about how many must
// move, as long as it is as many as can be.
func (a *assignment) giveUp() []candidate {
	surpluses := a.surpluses()
	slices.SortFunc(surpluses, func(s, t surplus) int {
		return a.compare(s.partitions[0], t.partitions[0])
	})
	var given []candidate
	for _, s := range surpluses {
		if a.extra > 0 {
			a.extra--
			s.partitions = s.partitions[1:]
		}
		for _, c := range s.partitions {
			a.owner[c.partition] = nobody
			a.load[s.member]--
			given = append(given, candidate{c.partition, partitionHash(a.placements[c.partition].Partition)})
		}
	}
	return given
}

// surpluses returns the members that own more than the floor.
func (a *assignment) surpluses() []surplus {
	owned, begin := a.ownedAboveFloor()
	var surpluses []surplus
	for member, load := range a.load {
		if load <= a.floor {
			continue
		}
		partitions := owned[begin[member] : begin[member]+load]
		a.setDistances(int32(member), partitions)
		slices.SortFunc(partitions, a.compare)
		surpluses = append(surpluses, surplus{int32(member), partitions[a.floor:]})
	}
	return surpluses
}

// ownedAboveFloor lists the partitions of all members that own more than the
// floor, each member's from its index in begin on.
func (a *assignment) ownedAboveFloor() (owned []candidate, begin []int) {
	begin, total := make([]int, len(a.load)), 0
	for member, load := range a.load {
		begin[member] = total
		if load > a.floor {
			total += load
		}
	}
	owned = make([]candidate, total)
	next := slices.Clone(begin)
	for i, member := range a.owner {
		if member != nobody && a.load[member] > a.floor {
			owned[next[member]].partition = int32(i)
			next[member]++
		}
	}
	return owned, begin
}

// setDistances sets each partition's key to its way, clockwise, to the nearest
// place of member.
func (a *assignment) setDistances(member int32, partitions []candidate) {
	var places [pointsPerMember]uint64
	n := 0
	for hash := range memberHashes(a.ring.members[member]) {
		places[n] = hash
		n++
	}
	for i := range partitions {
		from := partitionHash(a.placements[partitions[i].partition].Partition)
		nearest := places[0] - from // wraps around as the ring does
		for _, place := range places[1:] {
			nearest = min(nearest, place-from)
		}
		partitions[i].key = nearest
	}
}

// adopt gives each orphan to the first member, in the orphan's order of
// preference, that has room. There is room for all: the quotas add up to the
// number of partitions.
func (a *assignment) adopt(orphans []candidate) {
	if len(orphans) == 0 {
		return
	}
	slices.SortFunc(orphans, a.compare)
	walk := newWalk(a.ring)
	for _, orphan := range orphans {
		member := walk.firstWith(a.hasRoom, orphan.key)
		if a.load[member] == a.floor {
			a.extra--
		}
		a.owner[orphan.partition] = member
		a.load[member]++
	}
}

// hasRoom never turns true again once it is false, while orphans are adopted.
func (a *assignment) hasRoom(member int32) bool {
	return a.load[member] < a.floor || a.load[member] == a.floor && a.extra > 0
}

// walk finds members along the ring and skips, in nearly constant time, those it
// has found without room before: a disjoint-set forest over the points.
type walk struct {
	ring *Ring
	// next is the point itself, or one farther on with only members without room
	// between.
	next []int32
}

func newWalk(r *Ring) *walk {
	w := &walk{ring: r, next: make([]int32, len(r.points))}
	for i := range w.next {
		w.next[i] = int32(i)
	}
	return w
}

// firstWith returns the first member with room, going clockwise from hash.
func (w *walk) firstWith(hasRoom func(int32) bool, hash uint64) int32 {
	at := int32(w.ring.successor(hash))
	for {
		switch {
		case w.next[at] != at:
			w.next[at] = w.next[w.next[at]] // halves the path for those who come after
			at = w.next[at]
		case hasRoom(w.ring.points[at].member):
			return w.ring.points[at].member
		default:
			w.next[at] = (at + 1) % int32(len(w.next))
		}
	}
}
