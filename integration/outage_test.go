package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// toldWithin is how soon every client hears of the broker's trouble (C9), and some
// time for a busy machine.
const toldWithin = 10*time.Second + 2*time.Second

// Kafka freezes, and later stops and starts, under load: every client is told,
// streams stay up, the proxy recovers, and nothing that was accepted is lost. The
// outages are shorter than the produce timeout, so every message is stored.
func TestKafkaOutagesUnderLoad(t *testing.T) {
	t.Parallel()
	kafka, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kafka.Terminate(context.Background())) })
	p := startProxy(t, kafka.Brokers(), func(c *proxyConfig) { c.server.Produce.Timeout = 2 * patience })
	t.Run("frozen", func(t *testing.T) {
		testOutage(t, kafka, p,
			func() { require.NoError(t, kafka.Pause(t.Context())) },
			func() { require.NoError(t, kafka.Unpause(t.Context())) })
	})
	t.Run("stopped", func(t *testing.T) {
		testOutage(t, kafka, p,
			func() { require.NoError(t, kafka.Stop(t.Context())) },
			func() { require.NoError(t, kafka.Start(t.Context())) })
	})
}

func testOutage(t *testing.T, kafka *kafkacontainer.Kafka, p *proxy, begin, end func()) {
	a := newAdmin(t, kafka.Brokers())
	topic, sub := a.createTopic(4), unique(t, "sub")
	client := connect(t, p.addr)
	rec := newRecorder()
	workers := []*worker{
		consume(t, client, sub, []string{topic}, rec.handler("w0", nil)),
		consume(t, client, sub, []string{topic}, rec.handler("w1", nil)),
	}
	load := startLoad(t, client, topic)
	rec.awaitHandled(t, patience, 1000)

	begin()
	began := time.Now()
	for _, w := range workers {
		w.awaitEvent(toldWithin, "CONSUME_FAILED", isTrouble(messageproxy.CodeConsumeFailed))
	}
	t.Logf("every client was told within %v", time.Since(began))
	late := consume(t, client, sub, []string{topic}, rec.handler("late", nil))
	late.awaitEvent(toldWithin, "CONSUME_FAILED", isTrouble(messageproxy.CodeConsumeFailed))
	end()
	ended := time.Now()
	for _, w := range append(workers, late) {
		w.awaitEvent(patience, "recovery", isRecovery(messageproxy.CodeConsumeFailed))
	}
	t.Logf("every client knew of the recovery within %v", time.Since(ended))
	load.awaitStored(patience, 1000)
	load.stop()
	require.Zero(t, load.count(notStored)+load.count(unknown), "producers wait, and are not troubled")
	requireNothingLost(t, a, topic, sub, load, rec)
}

// requireNothingLost checks that the topic holds what the outcomes say, and that
// all of it is handled, in order, and committed.
func requireNothingLost(t *testing.T, a *admin, topic, subscription string, load *load, rec *recorder) {
	t.Helper()
	ends := a.ends(topic)
	values := a.values(topic, ends)
	load.requireTruth(values)
	rec.awaitHandled(t, patience, int(sum(ends)))
	rec.requireOrder(t, values)
	eventually(t, patience, func() bool { return a.committedSum(subscription, topic) == sum(ends) }, "everything is committed")
}

func sum[K comparable, N int | int64](of map[K]N) (total N) {
	for _, n := range of {
		total += n
	}
	return total
}
