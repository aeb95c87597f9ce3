package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// All connections between clients and proxy are cut every second, under load:
// every message gets one outcome, the topic says the same, and everything in it is
// handled in order.
func TestConnectionsAreCutUnderLoad(t *testing.T) {
	t.Parallel()
	const seconds = 10
	a := newAdmin(t, sharedKafka.Brokers())
	topic, sub := a.createTopic(4), unique(t, "sub")
	network := newNetwork(t)
	addr := network.through(startProxy(t, sharedKafka.Brokers(), nil).addr)
	rec := newRecorder()
	shortly := func(context.Context, *messageproxy.Message) error {
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) // the work of a handler
		return nil
	}
	for i := range 3 {
		consume(t, connect(t, addr), sub, []string{topic}, rec.handler(fmt.Sprint("w", i), shortly))
	}
	load := startLoad(t, connect(t, addr), topic)
	rec.awaitHandled(t, patience, 100)

	everySecond := time.NewTicker(time.Second)
	defer everySecond.Stop()
	cuts := 0
	for range seconds {
		<-everySecond.C
		cuts += network.cut()
	}
	require.Greater(t, cuts, 2*seconds, "clients came back")
	load.awaitStored(patience, 1000)
	load.stop()
	t.Logf("%d connections were cut", cuts)
	requireNothingLost(t, a, topic, sub, load, rec)
	require.NotZero(t, load.count(unknown), "answers were lost")
}
