package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// delivery is one call of a handler.
type delivery struct {
	worker    string
	partition int32
	value     string
	attempt   int
	end       bool // the call has returned, and the message is ACKed
}

// recorder notes what the handlers of all workers of a test do, in one order.
type recorder struct {
	mu         sync.Mutex
	deliveries []delivery
	changed    chan struct{} // closed and replaced at each delivery
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) note(d delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries = append(r.deliveries, d)
	close(r.changed)
	r.changed = make(chan struct{})
}

// handler returns a handler that notes its calls around work.
func (r *recorder) handler(worker string, work func(ctx context.Context, m *messageproxy.Message) error) func(context.Context, *messageproxy.Message) error {
	return func(ctx context.Context, m *messageproxy.Message) error {
		d := delivery{worker: worker, partition: m.Partition, value: string(m.Value), attempt: m.DeliveryAttempt}
		r.note(d)
		if work != nil {
			if err := work(ctx, m); err != nil {
				return err
			}
		}
		d.end = true
		r.note(d)
		return nil
	}
}

// await waits until condition holds of what is noted.
func (r *recorder) await(t *testing.T, within time.Duration, what string, condition func([]delivery) bool) {
	t.Helper()
	await(t, within, func() (bool, <-chan struct{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return condition(r.deliveries), r.changed
	}, func() string { return fmt.Sprintf("%s; %d deliveries", what, len(r.all())) })
}

// awaitHandled waits until n different messages have been handled.
func (r *recorder) awaitHandled(t *testing.T, within time.Duration, n int) {
	t.Helper()
	seen := make(map[string]bool)
	next := 0
	r.await(t, within, fmt.Sprintf("%d messages are handled", n), func(ds []delivery) bool {
		for ; next < len(ds); next++ {
			if ds[next].end {
				seen[ds[next].value] = true
			}
		}
		return len(seen) >= n
	})
}

func (r *recorder) all() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivery(nil), r.deliveries...)
}

// handledBy counts the messages that each worker has handled.
func (r *recorder) handledBy() map[string]int {
	counts := make(map[string]int)
	for _, d := range r.all() {
		if d.end {
			counts[d.worker]++
		}
	}
	return counts
}

// requireOrderOnce checks that every message of fill(partitions, n) was handled
// exactly once, and that in each partition one call ended before the next began.
func (r *recorder) requireOrderOnce(t *testing.T, partitions int32, n int) {
	t.Helper()
	next := make(map[int32]int)
	running := make(map[int32]string)
	for i, d := range r.all() {
		if !d.end {
			require.Empty(t, running[d.partition], "call %d: two messages of partition %d at once", i, d.partition)
			require.Equal(t, fmt.Sprintf("%d-%d", d.partition, next[d.partition]), d.value, "call %d, by %s", i, d.worker)
			running[d.partition] = d.value
			continue
		}
		require.Equal(t, running[d.partition], d.value)
		running[d.partition] = ""
		next[d.partition]++
	}
	for p := range partitions {
		require.Equal(t, n, next[p], "partition %d", p)
	}
}

// requireOrder checks at-least-once: of the messages of each partition of a topic,
// whose values these are, none was handed over before those before it were handled,
// and all were handled.
func (r *recorder) requireOrder(t *testing.T, values map[int32][]string) {
	t.Helper()
	handled := make(map[int32]int) // of each partition, all before this one
	done := make(map[string]bool)
	place := make(map[string]int)
	for _, partition := range values {
		for i, value := range partition {
			place[value] = i
		}
	}
	for i, d := range r.all() {
		if d.end {
			done[d.value] = true
			for all := values[d.partition]; handled[d.partition] < len(all) && done[all[handled[d.partition]]]; {
				handled[d.partition]++
			}
			continue
		}
		require.LessOrEqual(t, place[d.value], handled[d.partition], "call %d: %s got %s of partition %d too early", i, d.worker, d.value, d.partition)
	}
	for p, all := range values {
		require.Equal(t, len(all), handled[p], "partition %d: all are handled", p)
	}
}

// requireAllHandled checks that every message of fill(partitions, n) was handled.
func (r *recorder) requireAllHandled(t *testing.T, partitions int32, n int) {
	t.Helper()
	handled := make(map[string]bool)
	for _, d := range r.all() {
		if d.end {
			handled[d.value] = true
		}
	}
	var missing []string
	for p := range partitions {
		for i := range n {
			if v := fmt.Sprintf("%d-%d", p, i); !handled[v] {
				missing = append(missing, v)
			}
		}
	}
	require.Empty(t, missing, "handled nowhere: %s", strings.Join(missing[:min(len(missing), 20)], " "))
}

// worker is a running Consume.
type worker struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error

	mu     sync.Mutex
	events []messageproxy.Event
	signal chan struct{}
}

// consume runs Consume until stop or the end of the test.
func consume(t *testing.T, client *messageproxy.Client, subscription string, topics []string,
	handler func(context.Context, *messageproxy.Message) error, opts ...messageproxy.ConsumeOption,
) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{t: t, cancel: cancel, done: make(chan struct{}), signal: make(chan struct{})}
	opts = append(opts, messageproxy.WithObserver(w.observe))
	go func() {
		defer close(w.done)
		w.err = client.Subscription(subscription, topics...).Consume(ctx, handler, opts...)
	}()
	t.Cleanup(func() { assert.NoError(t, w.stop(), "consuming ends in good order") })
	return w
}

func (w *worker) observe(e messageproxy.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	close(w.signal)
	w.signal = make(chan struct{})
}

// stop ends Consume in good order and returns its error.
func (w *worker) stop() error {
	w.cancel()
	<-w.done
	return w.err
}

// awaitEvent waits until an event that matches has come.
func (w *worker) awaitEvent(within time.Duration, what string, matches func(messageproxy.Event) bool) {
	w.t.Helper()
	next := 0
	await(w.t, within, func() (bool, <-chan struct{}) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for ; next < len(w.events); next++ {
			if matches(w.events[next]) {
				return true, nil
			}
		}
		return false, w.signal
	}, func() string { return what })
}

func (w *worker) awaitAssigned(within time.Duration, partitions int) {
	w.t.Helper()
	w.awaitEvent(within, fmt.Sprintf("%d partitions are assigned", partitions), func(e messageproxy.Event) bool {
		return e.Kind == messageproxy.EventAssigned && len(e.Partitions) == partitions
	})
}

func isTrouble(code messageproxy.Code) func(messageproxy.Event) bool {
	return func(e messageproxy.Event) bool {
		return e.Kind == messageproxy.EventTrouble && errors.Is(e.Err, code)
	}
}

func isRecovery(code messageproxy.Code) func(messageproxy.Event) bool {
	return func(e messageproxy.Event) bool {
		return e.Kind == messageproxy.EventRecovered && errors.Is(e.Err, code)
	}
}
