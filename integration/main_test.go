package integration_test

import (
	"os"
	"testing"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
)

// sharedKafka is for the tests that don't stop it.
var sharedKafka *kafkacontainer.Kafka

func TestMain(m *testing.M) {
	os.Exit(kafkacontainer.RunTests(m, kafkacontainer.Options{}, &sharedKafka))
}
