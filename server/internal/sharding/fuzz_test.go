package sharding

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

// requireAgreement checks an assignment against everything that is promised of it,
// and against a second implementation.
func requireAgreement(t *testing.T, ring *Ring, placements []Placement) []MemberID {
	t.Helper()
	owners := ring.Assign(placements)
	require.Equal(t, naiveAssign(ring.Members(), placements), owners)
	if len(ring.Members()) > 0 {
		requireFair(t, ring.Members(), owners)
		require.Equal(t, fewestMoves(ring.Members(), placements), moves(placements, owners), "moves")
	}
	return owners
}

// FuzzAssign shares out partitions whose owners are anybody.
func FuzzAssign(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add([]byte{1, 2, 3}, []byte{})
	f.Add([]byte{1}, []byte{0, 0, 0, 0})
	f.Add([]byte{1, 2, 3}, []byte{1, 1, 1, 1, 1, 1, 2, 9})
	f.Add([]byte{5, 4, 3, 2, 1, 1, 0}, []byte{3, 3, 0, 255, 2})
	f.Fuzz(func(t *testing.T, memberBytes, ownerBytes []byte) {
		if len(memberBytes) > 20 || len(ownerBytes) > 60 {
			return // more of the same
		}
		var members, owners []MemberID
		for _, b := range memberBytes {
			members = append(members, MemberID(b))
		}
		for _, b := range ownerBytes {
			owners = append(owners, MemberID(b))
		}
		placements := place(owners...)
		got := requireAgreement(t, NewRing(members...), placements)

		slices.Reverse(members)
		slices.Reverse(placements)
		slices.Reverse(got)
		require.Equal(t, got, NewRing(members...).Assign(placements), "the order of the input doesn't matter")
	})
}

// FuzzSharing reads a history, two bytes an event: members that come and go, and
// partitions that do. After each the ring is that of whoever is there, whatever came
// before, and what it assigns is what the rules say.
func FuzzSharing(f *testing.F) {
	f.Add([]byte("j1p9j2j3q2l1p3p8l2l3j9"))
	f.Add([]byte("p0j7j7l7l7j1j2j3j4p2p2q0q1q2"))
	f.Fuzz(func(t *testing.T, history []byte) {
		if len(history) > 60 {
			return // more of the same
		}
		s := &sharing{t: t, members: make(map[MemberID]bool)}
		for i := 0; i+1 < len(history); i += 2 {
			s.event(history[i], int(history[i+1]))
			s.check(int(history[i+1]))
		}
	})
}

type sharing struct {
	t          *testing.T
	ring       *Ring // nil at first, which is one without members
	members    map[MemberID]bool
	placements []Placement
	last       int32 // partition
}

func (s *sharing) event(kind byte, argument int) {
	member := MemberID(argument % 16) // NoMember among them
	switch "jlpqr"[int(kind)%5] {
	case 'j':
		s.ring = s.ring.With(member)
		s.members[member] = true
	case 'l':
		s.ring = s.ring.Without(member)
		delete(s.members, member)
	case 'p':
		for range argument % 12 {
			s.last++
			name := []string{"t", "u", ""}[argument%3]
			s.placements = append(s.placements, Placement{Partition: broker.TopicPartition{Topic: name, Partition: s.last}})
		}
	case 'q': // every second from here on
		kept := s.placements[:0]
		for i, p := range s.placements {
			if i < argument%8 || (i-argument)%2 == 0 {
				kept = append(kept, p)
			}
		}
		s.placements = kept
	case 'r': // one goes and comes back
		if len(s.placements) > 0 {
			s.placements[argument%len(s.placements)].Owner = NoMember
		}
	}
}

func (s *sharing) check(argument int) {
	delete(s.members, NoMember)
	var members []MemberID
	for member := range s.members { // in any order
		members = append(members, member)
	}
	fresh := NewRing(members...)
	require.True(s.t, slices.Equal(fresh.members, s.ring.orEmpty().members), "members")
	require.True(s.t, slices.Equal(fresh.points, s.ring.orEmpty().points), "points")

	p := topicPartition(argument)
	want := naivePreference(fresh.Members(), p)
	require.True(s.t, slices.Equal(want, preference(s.ring, p)), "%v prefers %v", p, want)

	owners := requireAgreement(s.t, s.ring, s.placements)
	for i := range s.placements {
		s.placements[i].Owner = owners[i]
	}
	require.Equal(s.t, owners, s.ring.Assign(s.placements), "sharing out again moves nothing")
}
