package integration_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/kafkacontainer"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// Kafka stops and starts under load: every client is told, streams stay up, the
// proxy recovers, and nothing that was accepted is lost.
func TestKafkaStopsAndStartsUnderLoad(t *testing.T) {
	kafka, err := kafkacontainer.Start(t.Context(), kafkacontainer.Options{})
	require.NoError(t, err)
	a := newAdmin(t, kafka.Brokers())
	topic, sub := a.createTopic(4), unique(t, "sub")
	p := startProxy(t, kafka.Brokers(), nil)
	client := connect(t, p.addr)
	rec := newRecorder()
	workers := []*worker{
		consume(t, client, sub, []string{topic}, rec.handler("w0", nil)),
		consume(t, client, sub, []string{topic}, rec.handler("w1", nil)),
	}
	load := startLoad(t, client, topic)
	rec.awaitHandled(t, patience, 1000)

	require.NoError(t, kafka.Stop(t.Context()))
	stopped := time.Now()
	for _, w := range workers {
		w.awaitEvent(patience, "CONSUME_FAILED", isTrouble(messageproxy.CodeConsumeFailed))
	}
	t.Logf("every client was told within %v of Kafka's end", time.Since(stopped))
	require.NoError(t, kafka.Start(t.Context()))
	for _, w := range workers {
		w.awaitEvent(patience, "recovery", isRecovery(messageproxy.CodeConsumeFailed))
	}
	load.awaitStored(patience, 1000)
	load.stop()

	stored := make(map[string]bool)
	for _, records := range readAll(t, kafka.Brokers(), topic, a.ends(topic)) {
		for _, r := range records {
			stored[string(r.Value)] = true
		}
	}
	for _, value := range load.stored() {
		require.True(t, stored[value], "%s has a receipt", value)
	}
	for _, value := range load.failed() {
		require.False(t, stored[value], "%s was told not to be stored", value)
	}
	rec.await(t, patience, "everything in the topic is handled", func(ds []delivery) bool {
		handled := make(map[string]bool)
		for _, d := range ds {
			if d.end {
				handled[d.value] = true
			}
		}
		return len(handled) == len(stored)
	})
	eventually(t, patience, func() bool { return a.committedSum(sub, topic) == sum(a.ends(topic)) }, "everything is committed")
}

func sum(ends map[int32]int64) (total int64) {
	for _, end := range ends {
		total += end
	}
	return total
}

// load produces without end, and notes the results.
type load struct {
	t    *testing.T
	quit chan struct{}
	done chan struct{}

	mu       sync.Mutex
	receipts []string
	failures []string
	changed  chan struct{}
}

func startLoad(t *testing.T, client *messageproxy.Client, topic string) *load {
	l := &load{t: t, quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}, 1)}
	go func() {
		defer close(l.done)
		for i := 0; ; i++ {
			select {
			case <-l.quit:
				_ = client.Flush(t.Context())
				return
			case <-time.After(200 * time.Microsecond):
				value := fmt.Sprintf("load-%d", i)
				client.ProduceAsync(t.Context(), &messageproxy.Message{
					Topic: topic, Key: fmt.Appendf(nil, "%d", i%100), Value: []byte(value),
				}, func(_ messageproxy.Receipt, err error) { l.note(value, err) })
			}
		}
	}()
	t.Cleanup(l.stop)
	return l
}

func (l *load) note(value string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.receipts = append(l.receipts, value)
	case !errors.Is(err, messageproxy.ErrUnknownOutcome):
		l.failures = append(l.failures, value)
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// awaitStored waits for n more receipts.
func (l *load) awaitStored(within time.Duration, n int) {
	l.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	goal := len(l.stored()) + n
	for len(l.stored()) < goal {
		select {
		case <-l.changed:
		case <-deadline.C:
			require.FailNow(l.t, "waited in vain", "for %d messages to be stored", n)
		}
	}
}

func (l *load) stop() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	<-l.done
}

func (l *load) stored() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.receipts...)
}

func (l *load) failed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.failures...)
}
