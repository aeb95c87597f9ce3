package integration_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/integration/history"
)

// hold subscribes at a server without the SDK, and ACKs nothing of what comes, a few
// messages at most. It stays with a server that is silent for as long as a test waits.
func (c *chaos) hold(addr string) *rawConsumer {
	c.t.Helper()
	name := c.name("holder")
	stay := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Minute})
	return subscribeWith(c.t, rawClient(c.t, c.target(addr), append(c.dialOptions(name, addr), stay)...), &messageproxyv1.SubscribeRequest{
		Subscription: c.subscription, Topics: []string{c.topic}, ClientName: name,
		MaxUnackedMessages: new(uint32(3)), AckTimeout: durationpb.New(5 * time.Minute),
	})
}

// A proxy is frozen until Kafka has given its partitions to another, which goes on.
// When it wakes up it doesn't know: it must not take the position back, its clients
// are told that what they hold is gone, and it takes part again.
func TestFrozenProxyWakesUpWithoutItsPartitions(t *testing.T) {
	t.Parallel()
	c := startChaos(t, sharedKafka.Brokers(), 12)
	one, two := c.startServer("one"), c.startServer("two")
	c.addLoad(one.addr)
	c.addLoad(two.addr)
	for range faultRounds(t) {
		c.freezeUntilReplaced(one)
	}
	c.settle()
	c.requirePositionsOnlyRise()
}

// freezeUntilReplaced freezes a server until another has its partitions and goes on
// in each of them.
func (c *chaos) freezeUntilReplaced(s *chaosServer) {
	c.t.Helper()
	// Not in the middle of handing partitions over: then it would wake up in there, and
	// believe that it has time left to give.
	eventually(c.t, patience, func() bool { return c.admin.shares(c.subscription, 6, 6) }, "each proxy has its half of the partitions")
	holder := c.hold(s.addr)
	defer holder.leave()
	held := holder.awaitMessages(patience, 3)
	s.freeze()
	before := c.admin.committed(c.subscription, c.topic)
	eventually(c.t, patience, func() bool { return c.admin.members(c.subscription) == 1 }, "Kafka gives up on the frozen proxy")
	eventually(c.t, patience, func() bool {
		for p, at := range c.admin.committed(c.subscription, c.topic) {
			if at <= before[p] {
				return false
			}
		}
		return true
	}, "the other one goes on in every partition")
	s.thaw()
	holder.awaitWithdrawnAtOnce(patience)
	holder.ack(held...)
	holder.awaitNotHeld(patience, held...)
	holder.awaitMessages(3*patience, 4) // it takes part again
}

// requirePositionsOnlyRise checks that no position was ever seen to go back.
func (c *chaos) requirePositionsOnlyRise() {
	c.t.Helper()
	last := make(map[history.Partition]int64)
	seen := 0
	for _, entry := range c.history.Entries() {
		if e, ok := entry.Event.(history.PositionRead); ok {
			require.GreaterOrEqual(c.t, e.Position, last[e.Partition], "the position in %v", e.Partition)
			last[e.Partition] = e.Position
			seen++
		}
	}
	c.t.Logf("positions were read %d times", seen)
	require.NotZero(c.t, seen)
}

// shares reports whether the members of a subscription's consumer group have so many
// partitions each, and none is on its way.
func (a *admin) shares(subscription string, partitions ...int) bool {
	a.t.Helper()
	groups, err := a.kadm.DescribeGroups(a.ctx(), subscription)
	require.NoError(a.t, err)
	var assigned []int
	for _, member := range groups[subscription].Members {
		n := 0
		if assignment, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assignment.Topics {
				n += len(topic.Partitions)
			}
		}
		assigned = append(assigned, n)
	}
	slices.Sort(assigned)
	return groups[subscription].State == "Stable" && slices.Equal(assigned, partitions)
}

// A proxy that is frozen for less than the session timeout goes on as if nothing had
// been. Its clients hold messages for longer than the ACK timeout, but it didn't see
// that time.
func TestProxyFrozenForAShortTimeGoesOn(t *testing.T) {
	t.Parallel()
	const frozen = 4 * time.Second
	c := startChaos(t, sharedKafka.Brokers(), 12)
	c.silence = 20 * time.Second // longer than it is frozen, as the 10 s of an SDK by default are
	patient := []string{"--kafka-session-timeout", "30s", "--produce-timeout", "30s"}
	one, two := c.startServer("one", append(patient, "--ack-timeout", "3s")...), c.startServer("two", patient...)
	c.addLoad(one.addr)
	c.addLoad(two.addr)
	c.awaitFlow()
	eventually(t, patience, func() bool { return c.admin.shares(c.subscription, 6, 6) }, "both proxies have their share")
	began := time.Now()
	for range faultRounds(t) {
		one.freeze()
		c.last(frozen)
		one.thaw()
		c.awaitFlow()
	}
	ended := time.Now()
	c.settle()
	require.Equal(t, 2, c.admin.members(c.subscription))
	for _, entry := range c.history.Entries() {
		if entry.At.Before(began) || entry.At.After(ended) {
			continue
		}
		switch e := entry.Event.(type) {
		case history.ConsumeEnded:
			t.Errorf("a stream ended: %+v", e)
		case history.Withdrawn:
			t.Errorf("partitions moved: %+v", e)
		case history.ProduceEnded:
			t.Errorf("a stream ended: %+v", e)
		case history.Answered:
			require.Equal(t, history.Stored, e.Outcome, e.Why)
		}
	}
}
