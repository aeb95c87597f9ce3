package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
)

// Kafka is killed under load, while it works and while it is frozen, and starts
// again; it freezes, and goes on. What it has acknowledged, by then or before, is
// there, and everything goes on. (One broker's memory of what it hasn't written to
// disk outlives its process, as long as the machine lives.)
func TestFaultsOfKafka(t *testing.T) {
	t.Parallel()
	kafka, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kafka.Terminate(context.Background())) })
	const places = 4
	c := startChaos(t, kafka.Brokers(), 2*places)
	for i := range 2 {
		p := c.startProxy(fmt.Sprintf("proxy-%d", i+1), nil)
		c.addClients(p.addr, true)
		c.addClients(p.addr, false)
	}
	c.awaitEverybody()
	c.history.Record(history.Disturbed{})
	do := func(what string, step func(context.Context) error) {
		t.Helper()
		t.Log(what)
		require.NoError(t, step(t.Context()))
	}
	for range faultRounds(t) {
		do("kill", kafka.Kill)
		do("start", kafka.Start)
		c.awaitEverybody()

		do("freeze", kafka.Pause)
		c.last(long)
		do("thaw", kafka.Unpause)
		c.awaitEverybody()

		do("freeze", kafka.Pause)
		c.last(rand.N(2 * time.Second))
		do("kill", kafka.Kill)
		do("start", kafka.Start)
		c.awaitEverybody()
	}
	c.settle()
	require.NotZero(t, c.seen.outcomes[history.Unknown], "answers were lost")
	require.NotZero(t, c.seen.lost, "Kafka gave up on the proxies")
}
