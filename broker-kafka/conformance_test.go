package kafka_test

import (
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
	"github.com/messageproxy/messageproxy/broker/brokertest"
)

func TestConformanceOnTheEmbeddedKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timeouts in real time; with the tag synctests the suite runs in virtual time")
	}
	brokertest.Run(t, kafkatest.OnEmbedded())
}

func TestConformanceOnARealKafka(t *testing.T) {
	brokers := kafkatest.Brokers()
	if len(brokers) == 0 {
		t.Skipf("no Kafka is named in %s; the module integration runs this on one of its own", kafkatest.EnvBrokers)
	}
	brokertest.Run(t, kafkatest.OnKafka(brokers))
}
