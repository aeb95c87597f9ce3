//go:build synctests

package kafka

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchCounter counts the records that the client fetched, also those that it
// dropped again.
type fetchCounter struct{ records atomic.Int64 }

func (f *fetchCounter) OnFetchRecordBuffered(*kgo.Record) { f.records.Add(1) }

func withWindow(window int) func(*Options, *broker.ConsumerOptions) {
	return func(_ *Options, o *broker.ConsumerOptions) { o.PartitionWindow = window }
}

func TestWindowStopsFetching(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		const window = 100
		c := e.open(withWindow(window))
		for i := range 30 { // fetches stay small, so that the window can be seen
			e.produce(0, 10*i, 10)
			c.pollFor(10 * time.Millisecond)
		}
		held := len(c.messages[0])
		assert.GreaterOrEqual(e, held, window)
		assert.LessOrEqual(e, held, window+10, "one fetch beyond the window")

		e.produce(1, 0, 10)
		c.pollMessages(1, 10) // other partitions go on

		c.ack(0, positions(0, uint64(held)-window/2-1)...)
		c.pollFor(DefaultCommitInterval + time.Second)
		assert.Len(e, c.messages[0], held, "more than half the window is left")
		c.ack(0, uint64(held)-window/2-1)
		time.Sleep(10 * time.Millisecond)
		assert.EqualValues(e, held-window/2, e.committed(0), "committed at once: it frees the window")
		c.pollFor(2 * fetchWait)
		assert.Greater(e, len(c.messages[0]), held)
		c.ackAll(0)
		c.pollMessages(0, 300)
		assert.Equal(e, numbers(0, 300), values(c.messages[0]))
	})
}

func positions(first, end uint64) []uint64 {
	var ps []uint64
	for p := first; p < end; p++ {
		ps = append(ps, p)
	}
	return ps
}

func TestUnackedMessageHoldsTheWindow(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		const window = 50
		c := e.open(withWindow(window))
		e.produce(0, 0, 1000)
		c.pollFor(time.Second)
		c.ack(0, positions(1, uint64(len(c.messages[0])))...)
		held := len(c.messages[0])
		e.produce(0, 1000, 10)
		c.pollFor(time.Minute)
		assert.Len(e, c.messages[0], held, "nothing is durable while the first message isn't ACKed")
		c.ack(0, 0)
		c.pollMessages(0, 1010)
	})
}

func TestSlowSubscriptionFetchesNothingAgain(t *testing.T) {
	inBubble(t, 4, func(e *env) {
		const each = 20_000
		for p := range int32(4) {
			for i := range each / 1000 {
				e.produce(p, 1000*i, 1000)
			}
		}
		var counter fetchCounter
		c := e.open(withWindow(500), func(o *Options, _ *broker.ConsumerOptions) {
			o.ClientOptions = append(o.ClientOptions, kgo.WithHooks(&counter))
		})
		acked := make(map[int32]int)
		total := 0
		for total < 4*each {
			c.pollFor(50 * time.Millisecond)
			for p, messages := range c.messages { // 2,000 messages a second
				n := min(len(messages), acked[p]+100)
				for _, m := range messages[acked[p]:n] {
					c.ack(p, m.Position)
				}
				total += n - acked[p]
				acked[p] = n
			}
		}
		for p := range int32(4) {
			require.Equal(e, numbers(0, each), values(c.messages[p]))
		}
		t.Logf("%d messages, %d fetched", total, counter.records.Load())
		assert.Less(e, counter.records.Load(), int64(total+total/4))
	})
}

// A caller that ACKs at once isn't held up by partitions that have nothing: in
// virtual time only waiting takes time.
func TestFastSubscriptionIsNotHeldUpByIdlePartitions(t *testing.T) {
	inBubble(t, 8, func(e *env) {
		const count = 50_000
		for i := range count / 1000 {
			e.produce(0, 1000*i, 1000)
		}
		c := e.open()
		c.pollUntil("it is assigned", func() bool { return len(c.assigned) == 8 })
		begin := time.Now()
		acked := 0
		c.pollUntil("everything is there", func() bool {
			for ; acked < len(c.messages[0]); acked++ {
				c.ack(0, c.messages[0][acked].Position)
			}
			return acked == count
		})
		assert.Less(e, time.Since(begin), 4*fetchWait)
	})
}

// inFetches stores so many batches of so many messages, each as large as one fetch.
func (e *env) inFetches(batches, messages int) { e.inBatches(batches, messages, fetchPartitionBytes) }

// inBatches stores so many batches of so many messages and bytes.
func (e *env) inBatches(batches, messages, bytes int) {
	e.Helper()
	random := rand.NewChaCha8([32]byte{}) // nothing that can be compressed
	for range batches {
		records := make([]*kgo.Record, messages)
		for i := range records {
			value := make([]byte, bytes/messages)
			_, _ = random.Read(value)
			records[i] = &kgo.Record{Topic: testTopic, Value: value}
		}
		require.NoError(e, e.client.ProduceSync(e.Context(), records...).FirstErr())
	}
}

// slowCommits has the cluster take so long for each commit.
func slowCommits(e *env, latency time.Duration) {
	e.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		e.cluster.SleepControl(func() { time.Sleep(latency) })
		return nil, nil, false
	})
}

// ackAtOnce polls for so long and ACKs what comes as soon as it is there. It returns the
// most messages that were ever ACKed and not committed.
func (c *testConsumer) ackAtOnce(d time.Duration) (acked, mostUncommitted int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		c.pollFor(time.Millisecond)
		for ; acked < len(c.messages[0]); acked++ {
			c.ack(0, c.messages[0][acked].Position)
		}
		mostUncommitted = max(mostUncommitted, acked-int(max(c.env.committed(0), 0)))
	}
	return acked, mostUncommitted
}

// Commits that are prompt don't count for the window of a caller that ACKs at once:
// fetches and commits are under way at the same time.
func TestFastSubscriptionIsNotHeldUpByCommits(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		const latency, window, fetches, each = 20 * time.Millisecond, 50, 40, 100
		e.inFetches(fetches, each)
		slowCommits(e, latency)
		c := e.open(withWindow(window))
		c.pollMessages(0, 1)
		acked, _ := c.ackAtOnce(fetches * latency / 4)
		assert.Equal(e, fetches*each, acked, "a fetch needs no commit")
	})
}

// Those that take long do.
func TestFastSubscriptionWaitsForCommitsThatTakeLong(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		const latency, window, fetches, each = time.Second, 50, 40, 100
		e.inFetches(fetches, each)
		slowCommits(e, latency)
		c := e.open(withWindow(window))
		c.pollMessages(0, 1)
		_, uncommitted := c.ackAtOnce(2 * fetches * latency)
		assert.LessOrEqual(e, uncommitted, window+4*each)
		assert.EqualValues(e, fetches*each, c.env.committed(0))
	})
}

// lateHandOut is a hook that takes a moment before the client hands out a fetch, so that
// its next request is always sent before, if not answered.
type lateHandOut struct{}

func (lateHandOut) OnFetchRecordUnbuffered(*kgo.Record, bool) { time.Sleep(time.Nanosecond) }

// The client may send the next request before the pump's pause is in force. What comes of
// that is little, as it is dropped and fetched again.
func TestSlowSubscriptionFetchesLittleAgain(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		const window, fetches, batches, each = 50, 20, 10, 10
		e.inBatches(fetches*batches, each, fetchPartitionBytes/batches)
		var counter fetchCounter
		c := e.open(withWindow(window), func(o *Options, _ *broker.ConsumerOptions) {
			o.ClientOptions = append(o.ClientOptions, kgo.WithHooks(&counter, lateHandOut{}))
		})
		for acked := 0; acked < fetches*batches*each; {
			c.pollFor(2 * windowPatience)
			for end := min(acked+window, len(c.messages[0])); acked < end; acked++ {
				c.ack(0, c.messages[0][acked].Position)
			}
		}
		again := int(counter.records.Load()) - fetches*batches*each
		t.Logf("%d messages were fetched again", again)
		assert.LessOrEqual(e, again, fetches*2*each)
	})
}
