package coordinator

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/server/internal/sharding"
)

// checkInvariants checks what must hold after every Settle.
func checkInvariants(t require.TestingT, s *State) {
	require.Len(t, s.order, len(s.clients))
	require.Len(t, s.sorted, len(s.partitions))
	var bytes int64
	inFlight := make(map[*client]int)
	inFlightBytes := make(map[*client]int64)
	owned := make(map[*client]int)
	for _, p := range s.sorted {
		bytes += p.bytes
		owned[p.owner]++
		inFlight[p.holder] += p.inFlight
		inFlightBytes[p.holder] += p.inFlightBytes
		checkBacklog(t, s, p)
	}
	require.Equal(t, s.bytes, bytes, "sum of bytes")
	for _, c := range s.order {
		require.Equal(t, owned[c], c.owned, "owned by c%d", c.id)
		require.Equal(t, inFlight[c], c.unacked, "unacked of c%d", c.id)
		require.Equal(t, inFlightBytes[c], c.bytes, "bytes of c%d", c.id)
		require.LessOrEqual(t, c.unacked, c.maxUnacked, "window of c%d (C2)", c.id)
		require.True(t, c.bytes <= s.cfg.MaxUnackedBytes || c.unacked == 1, "byte window of c%d (C2)", c.id)
		require.Equal(t, c.unacked == 0, len(c.spans) == 0, "clock of c%d (C6)", c.id)
	}
	checkFairness(t, s)
	checkRing(t, s)
}

// checkRing: its members are those who want messages.
func checkRing(t require.TestingT, s *State) {
	if s.draining {
		return
	}
	members := []sharding.MemberID{}
	for _, c := range s.order {
		if c.accepted && !c.left {
			members = append(members, sharding.MemberID(c.id))
		}
	}
	require.ElementsMatch(t, members, s.ring.Members(), "members of the ring")
}

func checkBacklog(t require.TestingT, s *State, p *partition) {
	require.Equal(t, p.holder != nil, p.inFlight > 0, "%v: a holder means in flight", p.TopicPartition)
	require.LessOrEqual(t, p.first, p.next)
	if p.holder != nil {
		require.Same(t, s.clients[p.holder.id], p.holder, "%v: the holder is connected", p.TopicPartition)
	}
	if p.revoking {
		require.Zero(t, p.waiting(), "%v: nothing waits while it is revoked", p.TopicPartition)
	}
	unacked := 0
	for i, e := range p.entries[p.head:] {
		if i > 0 {
			require.Less(t, p.entries[p.head+i-1].position, e.position, "%v: order", p.TopicPartition)
		}
		if e.message != nil {
			unacked++
		}
	}
	require.Equal(t, p.inFlight+p.waiting(), unacked, "%v: unacked entries", p.TopicPartition)
	checkNotForgotten(t, s, p)
}

// checkNotForgotten: what could be delivered has been delivered (C5), and what can't
// for want of room is in its owner's queue.
func checkNotForgotten(t require.TestingT, s *State, p *partition) {
	if s.draining {
		return
	}
	if !p.deliverable() {
		require.Nil(t, p.queuedFor, "%v: in the queue for nothing", p.TopicPartition)
		return
	}
	require.Same(t, p.owner, p.queuedFor, "%v: in its owner's queue", p.TopicPartition)
	// The message of another partition, first in the queue, may be too large.
	require.False(t, hasRoomFor(s, p.owner, p.owner.queue.first), "%v: a deliverable message waits", p.TopicPartition)
}

func hasRoomFor(s *State, c *client, p *partition) bool {
	size := int64(p.at(p.next).message.Size())
	return c.unacked == 0 ||
		c.unacked < c.maxUnacked && c.bytes < s.cfg.MaxUnackedBytes && c.bytes+size <= s.cfg.MaxUnackedBytes
}

// checkFairness: no two clients differ by more than one partition (C4).
func checkFairness(t require.TestingT, s *State) {
	if s.phase != open || s.draining {
		return
	}
	var counts []int
	for _, c := range s.order {
		if c.left {
			require.Zero(t, c.owned, "c%d has left", c.id)
		} else {
			counts = append(counts, c.owned)
		}
	}
	if len(counts) > 0 {
		require.LessOrEqual(t, slices.Max(counts)-slices.Min(counts), 1, "quotas")
	}
}
