package integration_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
)

// faultRounds is how often each fault comes: once, unless the environment says
// otherwise, as `make faults` does.
func faultRounds(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv("MESSAGEPROXY_TEST_FAULT_ROUNDS")
	if !ok {
		return 1
	}
	rounds, err := strconv.Atoi(text)
	require.NoError(t, err)
	return rounds
}

// networkFault is what happens to a network for a while.
type networkFault struct {
	name     string
	up, down weather
	// lasts is how long it must last to matter.
	lasts time.Duration
	// everySecond: what happens meanwhile, if it isn't nil.
	everySecond func(*network)
}

// long is longer than anybody waits for the other side: the group's session (6 s),
// the Kafka client for an answer (10 s), the ACK timeout (12 s), gRPC for the
// answer to a ping (14 s in the clients of a chaos run, 11 s in its servers).
const long = 15 * time.Second

// shortFaults last for moments, and messages get through meanwhile.
func shortFaults() []networkFault {
	slow := weather{delay: 200 * time.Millisecond, jitter: 100 * time.Millisecond}
	return []networkFault{
		{name: "cut", everySecond: func(n *network) { n.cut() }, lasts: 3 * time.Second},
		// Requests arrive after their connection is gone, and after those of the next.
		{
			name: "late", up: weather{delay: 100 * time.Millisecond},
			everySecond: func(n *network) { n.hangUp(2 * time.Second) }, lasts: 5 * time.Second,
		},
		{name: "breaking", up: weather{breaks: 20_000}, down: weather{breaks: 20_000}, lasts: 3 * time.Second},
		{name: "delayed", up: slow, down: slow, lasts: 3 * time.Second},
		{name: "throttled", up: weather{rate: 20_000}, down: weather{rate: 20_000}, lasts: 3 * time.Second},
	}
}

// blackHoles last for so long that everybody gives up on the other side.
func blackHoles() []networkFault {
	held, swallowed, fair := weather{held: true}, weather{swallowed: true}, weather{}
	return []networkFault{
		{name: "held", up: held, down: held, lasts: long},
		{name: "requests held", up: held, down: fair, lasts: long},
		{name: "answers held", up: fair, down: held, lasts: long},
		{name: "swallowed", up: swallowed, down: swallowed, lasts: long},
		{name: "requests swallowed", up: swallowed, down: fair, lasts: long},
		{name: "answers swallowed", up: fair, down: swallowed, lasts: long},
	}
}

// strike makes the fault happen, and ends it.
func (f networkFault) strike(c *chaos, n *network) {
	c.t.Log("network:", f.name)
	n.disturb(f.up, f.down)
	defer n.heal()
	if f.everySecond == nil {
		c.last(f.lasts)
		return
	}
	for end := time.Now().Add(f.lasts); time.Now().Before(end); c.last(time.Second) {
		f.everySecond(n)
	}
}

// The networks between clients and their proxy fail, each in a way of its own, under
// load; one doesn't.
func TestFaultsBetweenClientsAndProxy(t *testing.T) {
	t.Parallel()
	seen := testNetworkFaults(t, 8, func(c *chaos) func(i int) *network {
		one := c.startProxy("proxy", nil)
		return func(i int) *network { return c.addClients(one.addr, i%2 == 0) }
	})
	require.NotZero(t, seen.broken, "streams of producers broke")
	require.NotZero(t, seen.ended, "streams of consumers ended")
}

// The networks between proxies of one subscription and Kafka fail, each in a way of
// its own, under load; one doesn't.
func TestFaultsBetweenProxiesAndKafka(t *testing.T) {
	t.Parallel()
	seen := testNetworkFaults(t, 6, func(c *chaos) func(i int) *network {
		c.history.Record(history.Disturbed{}) // soon
		return func(i int) *network {
			p := c.startProxy(fmt.Sprintf("proxy-%d", i+1), nil)
			c.addClients(p.addr, i%2 == 0)
			return p.brokers
		}
	})
	require.NotZero(t, seen.lost, "partitions went to other proxies")
	require.NotZero(t, seen.outcomes[history.Failed], "messages waited in vain")
	require.NotZero(t, seen.outcomes[history.Unknown], "answers were lost")
}

// testNetworkFaults has different black holes in all networks but two at the same
// time, and in one the short faults, one after another. start returns what starts
// the proxy or the clients of one of the places, and returns its network.
func testNetworkFaults(t *testing.T, places int, start func(c *chaos) func(i int) *network) counts {
	t.Helper()
	c := startChaos(t, sharedKafka.Brokers(), int32(2*places))
	place := start(c)
	networks := make([]*network, places)
	for i := range networks {
		networks[i] = place(i)
	}
	c.awaitEverybody()
	holes := blackHoles()
	for range faultRounds(t) {
		var striking sync.WaitGroup
		for i := range places - 2 {
			striking.Go(func() { holes[i].strike(c, networks[i]) })
		}
		striking.Go(func() {
			for _, f := range shortFaults() {
				f.strike(c, networks[places-2])
			}
		})
		striking.Wait()
		c.awaitEverybody()
		rand.Shuffle(places, func(i, j int) { networks[i], networks[j] = networks[j], networks[i] })
		rand.Shuffle(len(holes), func(i, j int) { holes[i], holes[j] = holes[j], holes[i] })
	}
	c.settle()
	return c.seen
}
