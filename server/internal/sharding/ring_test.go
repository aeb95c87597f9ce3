package sharding

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/messageproxy/messageproxy/broker"
)

func drawMembers(t *rapid.T) []MemberID {
	return rapid.SliceOfDistinct(
		rapid.Custom(func(t *rapid.T) MemberID { return MemberID(rapid.Uint64Range(1, 40).Draw(t, "member")) }),
		func(m MemberID) MemberID { return m },
	).Draw(t, "members")
}

func topicPartition(i int) broker.TopicPartition {
	return broker.TopicPartition{Topic: []string{"orders", "payments", "t"}[i%3], Partition: int32(i / 3)}
}

func preference(r *Ring, p broker.TopicPartition) []MemberID { return slices.Collect(r.Preference(p)) }

// However a ring came to its members, it is the same ring.
func TestRingIsFreeOfHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := drawMembers(t)
		want := NewRing(members...)
		require.True(t, slices.IsSorted(want.Members()))
		require.True(t, slices.IsSortedFunc(want.points, point.compare))

		shuffled := rapid.Permutation(members).Draw(t, "order")
		requireSameRing(t, want, NewRing(append(shuffled, shuffled...)...))

		grown := NewRing()
		visitors := drawMembers(t)
		for _, member := range append(visitors, shuffled...) {
			grown = grown.With(member)
		}
		for _, visitor := range visitors {
			if !slices.Contains(members, visitor) {
				grown = grown.Without(visitor)
			}
		}
		requireSameRing(t, want, grown)
	})
}

func requireSameRing(t *rapid.T, want, got *Ring) {
	require.True(t, slices.Equal(want.members, got.members))
	require.True(t, slices.Equal(want.points, got.points))
}

func TestRingPreferenceNamesEveryMemberOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := NewRing(drawMembers(t)...)
		order := preference(ring, topicPartition(rapid.IntRange(0, 1000).Draw(t, "partition")))
		slices.Sort(order)
		require.True(t, slices.Equal(ring.Members(), order))
	})
}

// A member that comes or goes changes nothing about the order of the others.
func TestRingPreferenceOfTheOthersStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := NewRing(drawMembers(t)...)
		member := MemberID(rapid.Uint64Range(1, 40).Draw(t, "member"))
		p := topicPartition(rapid.IntRange(0, 1000).Draw(t, "partition"))
		with, without := preference(ring.With(member), p), preference(ring.Without(member), p)
		others := slices.DeleteFunc(with, func(m MemberID) bool { return m == member })
		require.True(t, slices.Equal(without, others))
	})
}

// Every member is the first choice of some partitions, and of no excessive share.
func TestRingSpreadsFirstChoices(t *testing.T) {
	const members, partitions = 10, 3000
	var ring *Ring
	for m := range MemberID(members) {
		ring = ring.With(m + 1)
	}
	first := make(map[MemberID]int)
	for i := range partitions {
		for member := range ring.Preference(topicPartition(i)) {
			first[member]++
			break
		}
	}
	require.Len(t, first, members)
	for member, n := range first {
		assert.Greater(t, n, partitions/members/3, "member %d", member)
		assert.Less(t, n, partitions/members*3, "member %d", member)
	}
}

func TestRingWithoutMembers(t *testing.T) {
	for name, ring := range map[string]*Ring{"nil": nil, "zero": {}, "new": NewRing(), "no member": NewRing(NoMember)} {
		t.Run(name, func(t *testing.T) {
			assert.Empty(t, ring.Members())
			assert.Empty(t, preference(ring, topicPartition(1)))
			assert.Empty(t, ring.Without(7).Members())
			assert.Empty(t, ring.With(NoMember).Members())
			assert.Equal(t, []MemberID{7}, ring.With(7).Members())
			assert.Equal(t, []MemberID{NoMember}, ring.Assign([]Placement{{topicPartition(1), 7}}))
			assert.Empty(t, ring.Assign(nil))
		})
	}
}

func TestRingsAreNotChanged(t *testing.T) {
	ring := NewRing(1, 3)
	before := NewRing(1, 3)
	ring.With(2).With(4)
	ring.Without(1)
	assert.Equal(t, before, ring)
}
