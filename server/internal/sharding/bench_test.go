package sharding

import "testing"

const (
	benchMembers    = 1000
	benchPartitions = 10_000
)

func benchRing(members int) *Ring {
	ids := make([]MemberID, members)
	for i := range ids {
		ids[i] = MemberID(i + 1)
	}
	return NewRing(ids...)
}

func benchPlaced(b *testing.B, ring *Ring) []Placement {
	placements := place(make([]MemberID, benchPartitions)...)
	for i, owner := range ring.Assign(placements) {
		placements[i].Owner = owner
	}
	requireFair(b, ring.Members(), ring.Assign(placements))
	return placements
}

func BenchmarkFirstAssignment(b *testing.B) {
	placements := place(make([]MemberID, benchPartitions)...)
	b.ReportAllocs()
	for b.Loop() {
		benchRing(benchMembers).Assign(placements)
	}
}

func BenchmarkJoin(b *testing.B) {
	ring := benchRing(benchMembers - 1)
	placements := benchPlaced(b, ring)
	b.ReportAllocs()
	for b.Loop() {
		ring.With(benchMembers).Assign(placements)
	}
}

func BenchmarkLeave(b *testing.B) {
	ring := benchRing(benchMembers)
	placements := benchPlaced(b, ring)
	b.ReportAllocs()
	for b.Loop() {
		ring.Without(benchMembers / 2).Assign(placements)
	}
}
