package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The embedded Kafka says how large a batch may be by the broker's setting under
// the broker's name, beside a default under the topic's.
func TestTheLimitOfBatches(t *testing.T) {
	config := func(name, value string, source kmsg.ConfigSource) kmsg.DescribeConfigsResponseResourceConfig {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value, c.Source = name, &value, source
		return c
	}
	inherited := config("max.message.bytes", "1048588", kmsg.ConfigSourceDefaultConfig)
	own := config("max.message.bytes", "2000", kmsg.ConfigSourceDynamicTopicConfig)
	brokers := config("message.max.bytes", "3000", kmsg.ConfigSourceDynamicBrokerConfig)
	limit := func(configs ...kmsg.DescribeConfigsResponseResourceConfig) int32 {
		return rulesOf(configs).maxBatchBytes
	}

	assert.EqualValues(t, defaultMaxBatchBytes, limit())
	assert.EqualValues(t, 1048588, limit(inherited))
	assert.EqualValues(t, 3000, limit(inherited, brokers))
	assert.EqualValues(t, 3000, limit(brokers, inherited))
	assert.EqualValues(t, 2000, limit(own, brokers))
	assert.EqualValues(t, 2000, limit(brokers, own))
}
