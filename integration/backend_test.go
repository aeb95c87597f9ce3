package integration_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker-kafka/kafkatest"
)

// The backend's own tests that need a real Kafka.
func TestKafkaBackendOnARealKafka(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-tags", "realkafka", "-run", "^TestRealKafka", ".")
	cmd.Dir = "../broker-kafka"
	cmd.Env = append(os.Environ(), kafkatest.EnvBrokers+"="+strings.Join(sharedKafka.Brokers(), ","))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "--- PASS: TestRealKafka")
}
