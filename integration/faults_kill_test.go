package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxies are killed, one at a time and both at once, while clients that know both
// produce and consume. What was acknowledged is stored, what has failed is not, and
// everything is delivered.
func TestProxiesAreKilledUnderLoad(t *testing.T) {
	t.Parallel()
	c := startChaos(t, sharedKafka.Brokers(), 6)
	one, two := c.startServer("one"), c.startServer("two")
	c.addLoad(one.addr + "," + two.addr)
	c.awaitFlow()
	for range faultRounds(t) {
		one.kill()
		c.awaitFlow()
		one = one.restart()
		two.kill() // every client goes back to the first
		c.awaitFlow()
		one.kill()
		one, two = one.restart(), two.restart()
		c.awaitFlow()
	}
	c.settle()
	require.NotZero(t, c.seen.broken, "streams of producers broke")
	require.NotZero(t, c.seen.ended, "streams of consumers ended")
}
