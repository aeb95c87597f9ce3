package kafkacontainer

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

// RunTests connects to a Kafka, stores it in kafka, runs m's tests, removes the
// Kafka if it was started here, and returns the exit code for TestMain.
func RunTests(m *testing.M, opts Options, kafka **Kafka) (code int) {
	ctx := context.Background()
	connected, err := Connect(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	defer func() {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := connected.Terminate(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "remove Kafka:", err)
		}
	}()
	*kafka = connected
	return m.Run()
}
