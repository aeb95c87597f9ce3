package brokertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/broker/brokertest"
)

// TestHarnessMustSayWhatItCannot: what is missing from a Backend without a reason
// fails every check, and so does a reason for what isn't missing.
func TestHarnessMustSayWhatItCannot(t *testing.T) {
	sound := harness(func(b broker.Broker) broker.Broker { return b })
	ping := brokertest.Checks()[2]
	require.Equal(t, "broker/ping", ping.Name)
	for _, capability := range brokertest.Capabilities() {
		missing := sound
		missing.Open = func(t brokertest.T) brokertest.Backend {
			b := sound.Open(t)
			remove(&b, capability)
			return b
		}
		require.NotEmpty(t, failuresOf(t, ping, missing), "nothing says that it can't %s", capability)
		missing.Cannot = map[brokertest.Capability]string{capability: "there is a reason"}
		require.Empty(t, failuresOf(t, ping, missing), "it can't %s and says so", capability)
		denying := sound
		denying.Cannot = missing.Cannot
		require.NotEmpty(t, failuresOf(t, ping, denying), "it can %s and denies it", capability)
	}
}

func failuresOf(t *testing.T, check brokertest.Check, h brokertest.Harness) []string {
	r := &recorder{ctx: t.Context()}
	r.run(check, h)
	return r.failures
}

func remove(b *brokertest.Backend, capability brokertest.Capability) {
	switch capability {
	case brokertest.CanRefuseLarge:
		b.TooLarge = 0
	case brokertest.CanDeleteTopic:
		b.DeleteTopic = nil
	case brokertest.CanAddPartitions:
		b.AddPartitions = nil
	case brokertest.CanDeleteMessages:
		b.DeleteBefore = nil
	case brokertest.CanDisconnect:
		b.SetReachable = nil
	case brokertest.CanFailAcks:
		b.FailAcks = nil
	case brokertest.CanLoseProduceAnswers:
		b.LoseProduceAnswers = nil
	case brokertest.CanLosePartition:
		b.LosePartition = nil
	case brokertest.CanBreakConsumers:
		b.BreakConsumers = nil
	}
}
