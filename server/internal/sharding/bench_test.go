package sharding

import (
	"fmt"
	"testing"
)

// benchSizes are a small subscription, a usual one and a very large one.
var benchSizes = []struct{ members, partitions int }{{2, 8}, {8, 64}, {1000, 10_000}}

func benchRing(members int) *Ring {
	ids := make([]MemberID, members)
	for i := range ids {
		ids[i] = MemberID(i + 1)
	}
	return NewRing(ids...)
}

func benchPlaced(b *testing.B, ring *Ring, partitions int) []Placement {
	placements := place(make([]MemberID, partitions)...)
	for i, owner := range ring.Assign(placements) {
		placements[i].Owner = owner
	}
	requireFair(b, ring.Members(), ring.Assign(placements))
	return placements
}

// forSizes runs a benchmark of assign at each size, and reports how many partitions it
// moves from their owner before.
func forSizes(b *testing.B, prepare func(b *testing.B, members, partitions int) (before []Placement, assign func() []MemberID)) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%d members %d partitions", size.members, size.partitions), func(b *testing.B) {
			before, assign := prepare(b, size.members, size.partitions)
			b.ReportAllocs()
			for b.Loop() {
				assign()
			}
			moved := 0
			for i, owner := range assign() {
				if owner != before[i].Owner {
					moved++
				}
			}
			b.ReportMetric(float64(moved), "moved")
		})
	}
}

func BenchmarkFirstAssignment(b *testing.B) {
	forSizes(b, func(_ *testing.B, members, partitions int) ([]Placement, func() []MemberID) {
		placements := place(make([]MemberID, partitions)...)
		return placements, func() []MemberID { return benchRing(members).Assign(placements) }
	})
}

func BenchmarkJoin(b *testing.B) {
	forSizes(b, func(b *testing.B, members, partitions int) ([]Placement, func() []MemberID) {
		ring := benchRing(members - 1)
		placements := benchPlaced(b, ring, partitions)
		return placements, func() []MemberID { return ring.With(MemberID(members)).Assign(placements) }
	})
}

func BenchmarkLeave(b *testing.B) {
	forSizes(b, func(b *testing.B, members, partitions int) ([]Placement, func() []MemberID) {
		ring := benchRing(members)
		placements := benchPlaced(b, ring, partitions)
		return placements, func() []MemberID { return ring.Without(MemberID(members / 2)).Assign(placements) }
	})
}

// BenchmarkNothingChanges is for when everybody stays, and keeps what it has.
func BenchmarkNothingChanges(b *testing.B) {
	forSizes(b, func(b *testing.B, members, partitions int) ([]Placement, func() []MemberID) {
		ring := benchRing(members)
		placements := benchPlaced(b, ring, partitions)
		return placements, func() []MemberID { return ring.Assign(placements) }
	})
}
