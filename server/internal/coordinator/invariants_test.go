package coordinator

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/sharding"
)

// checkInvariants checks what must hold after every Settle.
func checkInvariants(t require.TestingT, s *State) {
	require.Len(t, s.order, len(s.clients))
	require.Len(t, s.sorted, len(s.partitions))
	var bytes int64
	var messages int
	inFlight := make(map[*client]int)
	inFlightBytes := make(map[*client]int64)
	owned := make(map[*client]int)
	for _, p := range s.sorted {
		bytes += p.bytes
		messages += p.held()
		owned[p.owner]++
		inFlight[p.holder] += p.inFlight
		inFlightBytes[p.holder] += p.inFlightBytes
		checkBacklog(t, s, p)
	}
	require.Equal(t, s.bytes, bytes, "sum of bytes")
	require.Equal(t, s.messages, messages, "number of messages")
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
	checkAssignments(t, s)
	checkClocks(t, s)
	checkQueues(t, s)
	checkNothingIsLeftToDo(t, s)
}

// checkAssignments: clients own what they were told that they own, and nothing else.
func checkAssignments(t require.TestingT, s *State) {
	if s.draining {
		return // nobody is told any more
	}
	shares := make(map[*client][]broker.TopicPartition)
	for _, p := range s.sorted {
		require.False(t, p.gone, "%v is gone", p.TopicPartition)
		if p.owner != nil {
			require.Same(t, s.clients[p.owner.id], p.owner, "%v: the owner is connected", p.TopicPartition)
			require.False(t, p.revoking, "%v: it is leaving, and owned", p.TopicPartition)
			shares[p.owner] = append(shares[p.owner], p.TopicPartition)
		}
	}
	for _, c := range s.order {
		require.Equal(t, c.accepted, c.told, "c%d knows its assignment once it is subscribed", c.id)
		require.True(t, slices.Equal(shares[c], c.assignment), "c%d owns %v and was told %v", c.id, shares[c], c.assignment)
	}
}

// checkClocks: C6, each clock runs on the oldest message, and somebody looks at it in
// time.
func checkClocks(t require.TestingT, s *State) {
	for _, c := range s.order {
		if len(c.spans) == 0 {
			continue
		}
		oldest := &c.spans[0]
		require.True(t, oldest.isUnacked(c, oldest.from), "c%d: the clock runs on a message that it holds", c.id)
		require.LessOrEqual(t, c.oldestSince, s.now)
		require.LessOrEqual(t, s.nextTimeout, c.oldestSince+c.ackTimeout, "c%d can be stuck for longer", c.id)
		require.Equal(t, c.unacked, unackedIn(c), "c%d: what it holds, span by span", c.id)
	}
}

func unackedIn(c *client) int {
	n := 0
	for i := range c.spans {
		for number := c.spans[i].from; number < c.spans[i].to; number++ {
			if c.spans[i].isUnacked(c, number) {
				n++
			}
		}
	}
	return n
}

// checkQueues: each lists the partitions that say that they are in it.
func checkQueues(t require.TestingT, s *State) {
	queued := 0
	for _, p := range s.sorted {
		if p.queuedFor != nil {
			queued++
		}
	}
	for _, c := range s.order {
		var last *partition
		for p := c.queue.first; p != nil; p = p.nextInQ {
			require.Same(t, c, p.queuedFor, "%v is in the queue of c%d", p.TopicPartition, c.id)
			require.True(t, p.previousInQ == last, "%v: the one before it", p.TopicPartition)
			last = p
			queued--
		}
		require.True(t, c.queue.last == last, "the end of the queue of c%d", c.id)
	}
	require.Zero(t, queued, "partitions in queues, and in nobody's")
}

// checkNothingIsLeftToDo: Settle has drawn every conclusion.
func checkNothingIsLeftToDo(t require.TestingT, s *State) {
	require.Empty(t, s.ready, "clients to deliver to")
	require.False(t, s.ownershipDirty, "partitions to share out")
	require.Len(t, s.acks, s.handedOn, "ACKs to hand on")
	if s.phase != open {
		require.Empty(t, s.partitions, "partitions without a consumer")
	}
	for _, c := range s.order {
		require.True(t, !c.counts() || s.phase != idle, "c%d waits, and nobody opens a consumer", c.id)
		require.False(t, s.draining && c.unacked == 0, "c%d has nothing to finish", c.id)
	}
	for _, p := range s.sorted {
		require.True(t, !p.paused || s.memory.Over || p.revoking, "%v is paused for nothing", p.TopicPartition)
	}
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
