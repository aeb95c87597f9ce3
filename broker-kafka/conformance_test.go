package kafka_test

import (
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
	"github.com/messageproxy/messageproxy/broker/brokertest"
)

func TestConformanceOnTheEmbeddedKafka(t *testing.T) {
	brokertest.Run(t, kafkatest.OnEmbedded())
}
