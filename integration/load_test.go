package integration_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// outcome is what the SDK says of a message.
type outcome int

const (
	stored outcome = iota
	notStored
	unknown
)

// load produces without end, and notes the outcomes.
type load struct {
	t       *testing.T
	quit    chan struct{}
	done    chan struct{}
	flushed error // once done

	mu       sync.Mutex
	produced int
	outcomes map[string][]outcome // by value
	counts   [unknown + 1]int
	changed  chan struct{}
}

func startLoad(t *testing.T, client *messageproxy.Client, topic string) *load {
	l := &load{
		t: t, quit: make(chan struct{}), done: make(chan struct{}),
		outcomes: make(map[string][]outcome), changed: make(chan struct{}, 1),
	}
	go l.run(client, topic)
	t.Cleanup(l.end)
	return l
}

func (l *load) run(client *messageproxy.Client, topic string) {
	defer close(l.done)
	pace := time.NewTicker(200 * time.Microsecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.quit:
			l.flushed = client.Flush(l.t.Context())
			return
		case <-pace.C:
		}
		value := fmt.Sprintf("load-%d", i)
		l.mu.Lock()
		l.produced++
		l.mu.Unlock()
		client.ProduceAsync(l.t.Context(), &messageproxy.Message{
			Topic: topic, Key: fmt.Appendf(nil, "%d", i%100), Value: []byte(value),
		}, func(_ messageproxy.Receipt, err error) { l.note(value, err) })
	}
}

func (l *load) note(value string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := stored
	switch {
	case errors.Is(err, messageproxy.ErrUnknownOutcome):
		o = unknown
	case err != nil:
		o = notStored
		if l.counts[notStored] == 0 {
			l.t.Logf("the first message that is not stored: %v", err)
		}
	}
	l.outcomes[value] = append(l.outcomes[value], o)
	l.counts[o]++
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *load) count(o outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[o]
}

// awaitStored waits for n more receipts.
func (l *load) awaitStored(within time.Duration, n int) {
	l.t.Helper()
	goal := l.count(stored) + n
	await(l.t, within, func() (bool, <-chan struct{}) { return l.count(stored) >= goal, l.changed },
		func() string { return fmt.Sprintf("for %d messages to be stored", n) })
}

func (l *load) end() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	<-l.done
}

// stop produces no more, and waits until every message has an outcome.
func (l *load) stop() {
	l.t.Helper()
	l.end()
	require.NoError(l.t, l.flushed)
}

// requireTruth checks that every message has one outcome, and that the topic, whose
// values these are, says the same.
func (l *load) requireTruth(values map[int32][]string) {
	l.t.Helper()
	times := make(map[string]int)
	for _, partition := range values {
		for _, value := range partition {
			times[value]++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Logf("of %d messages, %d are stored, %d are not, and of %d the outcome is unknown",
		l.produced, l.counts[stored], l.counts[notStored], l.counts[unknown])
	require.Len(l.t, l.outcomes, l.produced, "every message has an outcome")
	for value, outcomes := range l.outcomes {
		require.Len(l.t, outcomes, 1, "%s has one outcome", value)
		switch outcomes[0] {
		case stored:
			require.Equal(l.t, 1, times[value], "%s has a receipt: how often it is in the topic", value)
		case notStored:
			require.Zero(l.t, times[value], "%s was told not to be stored", value)
		case unknown:
			require.LessOrEqual(l.t, times[value], 1, "%s was sent once", value)
		}
		delete(times, value)
	}
	require.Empty(l.t, times, "nobody produced them")
}
