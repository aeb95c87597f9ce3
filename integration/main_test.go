package integration_test

import (
	"flag"
	"os"
	"testing"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
)

// sharedKafka is for the tests that don't stop it.
var sharedKafka *kafkacontainer.Kafka

func TestMain(m *testing.M) {
	runManyAtOnce()
	code := kafkacontainer.RunTests(m, kafkacontainer.Options{InMemory: true}, &sharedKafka)
	removePrograms()
	os.Exit(code)
}

// runManyAtOnce has more tests run in parallel than there are cores, unless the
// command line says how many: they wait more than they work.
func runManyAtOnce() {
	flag.Parse()
	const parallel = "test.parallel"
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == parallel })
	if !chosen {
		_ = flag.Set(parallel, "16") // fails for text that is no number
	}
}
