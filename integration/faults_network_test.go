package integration_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faultRounds is how often each fault comes, and how much longer it lasts, if the
// environment says so: `make faults` does.
func faultRounds(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv("MESSAGEPROXY_FAULT_ROUNDS")
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
	// cut: all connections are cut every second meanwhile.
	cut bool
}

// long is longer than anybody waits for the other side: the group's session (6 s),
// the Kafka client for an answer (10 s), the ACK timeout (10 s), gRPC for the
// answer to a ping (12 s in the clients of a chaos run, 6 s in its servers).
const long = 13 * time.Second

func networkFaults() []networkFault {
	held, swallowed, fair := weather{held: true}, weather{swallowed: true}, weather{}
	slow := weather{delay: 200 * time.Millisecond, jitter: 100 * time.Millisecond}
	late := weather{delay: 300 * time.Millisecond, jitter: 250 * time.Millisecond}
	return []networkFault{
		{name: "cut", cut: true, lasts: 4 * time.Second},
		{name: "breaking", up: weather{breaks: 30_000}, down: weather{breaks: 30_000}, lasts: 4 * time.Second},
		{name: "delayed", up: slow, down: slow, lasts: 5 * time.Second},
		// Requests arrive after their connection is gone, and after those of the next.
		{name: "late", up: late, down: weather{breaks: 3000}, lasts: 6 * time.Second},
		{name: "throttled", up: weather{rate: 30_000}, down: weather{rate: 30_000}, lasts: 5 * time.Second},
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
	n.disturb(f.up, f.down)
	defer n.heal()
	if !f.cut {
		c.last(f.lasts)
		return
	}
	for end := time.Now().Add(f.lasts); time.Now().Before(end); c.last(time.Second) {
		n.cut()
	}
}

// The network between clients and proxy fails in every way, under load.
func TestFaultsBetweenClientsAndProxy(t *testing.T) {
	t.Parallel()
	for _, f := range networkFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := startChaos(t, sharedKafka.Brokers(), 6)
			c.addLoad(c.startProxy("one", nil).addr)
			c.awaitFlow()
			for range faultRounds(t) {
				f.strike(c, c.clients)
				c.awaitFlow()
			}
			c.settle()
		})
	}
}

// The network between one of two proxies and Kafka fails in every way, under load.
func TestFaultsBetweenProxyAndKafka(t *testing.T) {
	t.Parallel()
	for _, f := range networkFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := startChaos(t, sharedKafka.Brokers(), 6)
			one, two := c.startProxy("one", nil), c.startProxy("two", nil)
			c.addLoad(one.addr)
			c.addLoad(two.addr)
			c.awaitFlow()
			for range faultRounds(t) {
				f.strike(c, one.brokers)
				c.awaitFlow()
			}
			c.settle()
		})
	}
}
