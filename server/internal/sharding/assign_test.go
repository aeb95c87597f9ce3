package sharding

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// testing.TB and rapid.T have this in common.
type reporter interface {
	Errorf(format string, args ...any)
	FailNow()
}

// place lists partitions with their owners.
func place(owners ...MemberID) []Placement {
	placements := make([]Placement, len(owners))
	for i, owner := range owners {
		placements[i] = Placement{topicPartition(i), owner}
	}
	return placements
}

func loads(owners []MemberID) map[MemberID]int {
	loads := make(map[MemberID]int)
	for _, owner := range owners {
		loads[owner]++
	}
	return loads
}

func moves(placements []Placement, owners []MemberID) (moved int) {
	for i, owner := range owners {
		if owner != placements[i].Owner {
			moved++
		}
	}
	return moved
}

// fewestMoves is how many partitions every fair assignment moves, at least.
func fewestMoves(members []MemberID, placements []Placement) int {
	floor, extra := len(placements)/len(members), len(placements)%len(members)
	owned := make(map[MemberID]int)
	for _, p := range placements {
		owned[p.Owner]++
	}
	kept, above := 0, 0
	for _, member := range members {
		kept += min(owned[member], floor)
		if owned[member] > floor {
			above++
		}
	}
	return len(placements) - kept - min(extra, above)
}

// requireFair checks that everything has an owner among members and that no two
// of them differ by more than one partition.
func requireFair(t reporter, members []MemberID, owners []MemberID) {
	loads := loads(owners)
	fewest, most, sum := math.MaxInt, 0, 0
	for _, member := range members {
		fewest, most = min(fewest, loads[member]), max(most, loads[member])
		sum += loads[member]
	}
	require.LessOrEqual(t, most-fewest, 1, "loads %v", loads)
	require.Equal(t, len(owners), sum, "every owner is a member")
}

func requireFairAndSticky(t reporter, ring *Ring, placements []Placement) []MemberID {
	owners := ring.Assign(placements)
	require.Len(t, owners, len(placements))
	requireFair(t, ring.Members(), owners)
	require.Equal(t, fewestMoves(ring.Members(), placements), moves(placements, owners), "moves")
	return owners
}

// drawPlacements draws placements of which some belong to nobody, or to a member
// that isn't there.
func drawPlacements(t *rapid.T, members []MemberID, most int) []Placement {
	owner := rapid.SampledFrom(append(slices.Clone(members), NoMember, 1000, 1001))
	owners := rapid.SliceOfN(owner, 0, most).Draw(t, "owners")
	return place(owners...)
}

func TestAssignIsFairAndMovesTheFewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := append(drawMembers(t), 41)
		requireFairAndSticky(t, NewRing(members...), drawPlacements(t, members, 200))
	})
}

// The closed form is right: no fair assignment at all moves fewer.
func TestFewestMovesAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := []MemberID{1, 2, 3, 4}[:rapid.IntRange(1, 4).Draw(t, "members")]
		placements := drawPlacements(t, members, 6)
		require.Equal(t, bruteForceMoves(members, placements), fewestMoves(members, placements))
	})
}

// bruteForceMoves tries every assignment.
func bruteForceMoves(members []MemberID, placements []Placement) int {
	owners, fewest := make([]MemberID, len(placements)), math.MaxInt
	var try func(i int)
	try = func(i int) {
		if i < len(owners) {
			for _, owners[i] = range members {
				try(i + 1)
			}
			return
		}
		loads := loads(owners)
		low, high := math.MaxInt, 0
		for _, member := range members {
			low, high = min(low, loads[member]), max(high, loads[member])
		}
		if high-low <= 1 {
			fewest = min(fewest, moves(placements, owners))
		}
	}
	try(0)
	return fewest
}

func TestAssignIgnoresTheOrderOfItsInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := append(drawMembers(t), 41)
		placements := drawPlacements(t, members, 100)
		shuffledMembers := rapid.Permutation(members).Draw(t, "member order")
		shuffled := rapid.Permutation(placements).Draw(t, "placement order")
		requireSameOwners(t, placements, NewRing(members...).Assign(placements),
			shuffled, NewRing(shuffledMembers...).Assign(shuffled))
	})
}

func requireSameOwners(t *rapid.T, placements []Placement, owners []MemberID, others []Placement, otherOwners []MemberID) {
	want := make(map[Placement]MemberID, len(owners))
	for i, p := range placements {
		want[p] = owners[i]
	}
	for i, p := range others {
		require.Equal(t, want[p], otherOwners[i], "%v", p)
	}
}

// Assigning again moves nothing.
func TestAssignIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := append(drawMembers(t), 41)
		ring := NewRing(members...)
		placements := drawPlacements(t, members, 100)
		owners := ring.Assign(placements)
		for i := range placements {
			placements[i].Owner = owners[i]
		}
		require.Equal(t, owners, ring.Assign(placements))
	})
}

// Any series of joins, leaves and partitions that come and go is fair at every
// step and moves the fewest at every step.
func TestAssignThroughRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ring *Ring
		placements := place(make([]MemberID, rapid.IntRange(0, 60).Draw(t, "partitions"))...)
		reassign := func(*rapid.T) {
			if len(ring.Members()) == 0 {
				return
			}
			owners := requireFairAndSticky(t, ring, placements)
			for i := range placements {
				placements[i].Owner = owners[i]
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) { ring = ring.With(MemberID(rapid.Uint64Range(1, 20).Draw(t, "member"))) },
			"leave": func(t *rapid.T) {
				if len(ring.Members()) > 0 {
					ring = ring.Without(rapid.SampledFrom(ring.Members()).Draw(t, "member"))
				}
			},
			"revoke": func(t *rapid.T) { placements = placements[:rapid.IntRange(0, len(placements)).Draw(t, "left")] },
			"assign": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "more") {
					placements = append(placements, Placement{Partition: topicPartition(len(placements))})
				}
			},
			"": reassign,
		})
	})
}

func TestAssignTable(t *testing.T) {
	const n = NoMember
	for name, test := range map[string]struct {
		members    []MemberID
		owners     []MemberID
		moves      int
		loadCounts map[int]int // how many members have how many partitions
	}{
		"one member gets everything":                 {[]MemberID{1}, []MemberID{n, n, n}, 3, map[int]int{3: 1}},
		"no partitions":                              {[]MemberID{1, 2}, nil, 0, map[int]int{0: 2}},
		"fewer partitions than members":              {[]MemberID{1, 2, 3}, []MemberID{n}, 1, map[int]int{0: 2, 1: 1}},
		"fewer partitions, the owner keeps its one":  {[]MemberID{1, 2, 3}, []MemberID{2}, 0, map[int]int{0: 2, 1: 1}},
		"fewer partitions, the owner keeps only one": {[]MemberID{1, 2, 3}, []MemberID{2, 2}, 1, map[int]int{0: 1, 1: 2}},
		"join of a second":                           {[]MemberID{1, 2}, []MemberID{1, 1, 1, 1}, 2, map[int]int{2: 2}},
		"join of a second, odd":                      {[]MemberID{1, 2}, []MemberID{1, 1, 1, 1, 1}, 2, map[int]int{2: 1, 3: 1}},
		"join that moves nothing":                    {[]MemberID{1, 2, 3}, []MemberID{1, 2}, 0, map[int]int{0: 1, 1: 2}},
		"leave of one of three":                      {[]MemberID{1, 2}, []MemberID{1, 2, 3, 1, 2, 3}, 2, map[int]int{3: 2}},
		"leave of all but one":                       {[]MemberID{3}, []MemberID{1, 2, 3, 1, 2, 3}, 4, map[int]int{6: 1}},
		"fair already":                               {[]MemberID{1, 2, 3}, []MemberID{1, 2, 3, 1}, 0, map[int]int{1: 2, 2: 1}},
		"the one above keeps what it has":            {[]MemberID{1, 2}, []MemberID{2, 2, n}, 1, map[int]int{1: 1, 2: 1}},
		"nobody's go to whoever has room":            {[]MemberID{1, 2}, []MemberID{1, 1, n, n}, 2, map[int]int{2: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			placements := place(test.owners...)
			owners := requireFairAndSticky(t, NewRing(test.members...), placements)
			assert.Equal(t, test.moves, moves(placements, owners))
			counts, loads := make(map[int]int), loads(owners)
			for _, member := range test.members {
				counts[loads[member]]++
			}
			assert.Equal(t, test.loadCounts, counts)
		})
	}
}

// An orphan goes to the first member in its order of preference that has room.
func TestAssignFollowsPreference(t *testing.T) {
	ring := NewRing(1, 2, 3, 4, 5)
	for i := range 50 {
		placements := []Placement{{Partition: topicPartition(i)}}
		want := preference(ring, topicPartition(i))[0]
		assert.Equal(t, []MemberID{want}, ring.Assign(placements))
	}
}

// A member above its quota keeps the partitions that have the shortest way to it.
func TestAssignGivesUpTheFarthest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := NewRing(1, 2)
		owners := make([]MemberID, rapid.IntRange(2, 40).Draw(t, "partitions"))
		for i := range owners {
			owners[i] = 1
		}
		farthestKept, nearestGiven := uint64(0), uint64(math.MaxUint64)
		placements := place(owners...)
		for i, owner := range ring.Assign(placements) {
			if way := wayTo(ring, 1, placements[i]); owner == 1 {
				farthestKept = max(farthestKept, way)
			} else {
				nearestGiven = min(nearestGiven, way)
			}
		}
		require.Less(t, farthestKept, nearestGiven)
	})
}

// wayTo walks from the partition, point by point, until it meets the member.
func wayTo(ring *Ring, member MemberID, p Placement) uint64 {
	from := partitionHash(p.Partition)
	for i := ring.successor(from); ; i = (i + 1) % len(ring.points) {
		if ring.members[ring.points[i].member] == member {
			return ring.points[i].hash - from
		}
	}
}

func ExampleRing_Assign() {
	placements := place(1, 1, 1, 1)
	ring := NewRing(1).With(2)
	owners := ring.Assign(placements)
	fmt.Println(len(owners), "partitions,", moves(placements, owners), "moved")
	// Output: 4 partitions, 2 moved
}
