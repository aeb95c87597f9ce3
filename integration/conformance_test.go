package integration_test

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
	"github.com/messageproxy/messageproxy/broker/brokertest"
)

// The Kafka backend keeps every sentence of the broker contract on a real Kafka too.
func TestKafkaBackendConforms(t *testing.T) {
	t.Parallel()
	harness := kafkatest.OnKafka(sharedKafka.Brokers())
	harness.Patience = patience
	harness.Quiet = time.Second
	brokertest.Run(t, harness)
}
