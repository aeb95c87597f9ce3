package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two proxies share a subscription; one is killed, and the other takes over what
// was not ACKed.
func TestTwoProxiesShareASubscriptionAndOneIsKilled(t *testing.T) {
	t.Parallel()
	const partitions, n = 4, 500
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	one := startProcess(t, sharedKafka.Brokers())
	two := startProcess(t, sharedKafka.Brokers())
	rec := newRecorder()
	first := consume(t, connect(t, one.addr), sub, []string{topic}, rec.handler("one", nil))
	first.awaitAssigned(patience, partitions)
	second := consume(t, connect(t, two.addr), sub, []string{topic}, rec.handler("two", nil))
	second.awaitAssigned(patience, partitions/2)
	first.awaitAssigned(patience, partitions/2)
	require.Equal(t, 2, a.members(sub))
	a.fill(topic, partitions, n)
	rec.awaitHandled(t, patience, partitions*n/2)
	rec.await(t, patience, "both have handled some", func(ds []delivery) bool {
		by := make(map[string]bool)
		for _, d := range ds {
			by[d.worker] = by[d.worker] || d.end
		}
		return by["one"] && by["two"]
	})
	one.kill()
	second.awaitAssigned(patience, partitions)
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireAllHandled(t, partitions, n)
	counts := rec.handledBy()
	require.Positive(t, counts["one"])
	require.Positive(t, counts["two"])
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == partitions*n }, "everything is committed")
}

// A proxy that shuts down lets its clients finish and hands its partitions on:
// every message is handled exactly once.
func TestProxyThatDrainsLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const partitions, n = 4, 500
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(partitions), unique(t, "sub")
	one := startProcess(t, sharedKafka.Brokers())
	two := startProcess(t, sharedKafka.Brokers())
	rec := newRecorder()
	first := consume(t, connect(t, one.addr), sub, []string{topic}, rec.handler("one", nil))
	second := consume(t, connect(t, two.addr), sub, []string{topic}, rec.handler("two", nil))
	second.awaitAssigned(patience, partitions/2)
	first.awaitAssigned(patience, partitions/2)
	a.fill(topic, partitions, n)
	rec.awaitHandled(t, patience, partitions*n/4)
	require.NoError(t, one.terminate(), "exit 0 after a drain")
	second.awaitAssigned(patience, partitions)
	rec.awaitHandled(t, patience, partitions*n)
	rec.requireOrderOnce(t, partitions, n)
}
