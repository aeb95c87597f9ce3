package kafka

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const shortTimeout = 500 * time.Millisecond

func (e *produceEnv) fault(key kmsg.Key, err *kerr.Error, count int) *kfake.FaultHandle {
	return e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: count})
}

// produceUntilStored produces a message again as long as it fails for certain: with a
// short timeout, it may on a busy machine.
func produceUntilStored(t *testing.T, p *producer, again func() *broker.OutgoingMessage) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := produce(t, p, again()).await()[0].err
		if err != nil {
			assert.ErrorIs(t, err, broker.CodeUnavailable)
		}
		return err == nil
	}, patience, time.Millisecond)
}

func saying(value string) func() *broker.OutgoingMessage {
	return func() *broker.OutgoingMessage { return message("orders", value) }
}

func TestWhatWasNeverSentFailsAfterTheTimeout(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	for name, known := range map[string]bool{"topic not known yet": false, "topic known": true} {
		t.Run(name, func(t *testing.T) {
			p := e.producer(broker.ProducerOptions{Timeout: shortTimeout})
			want := len(e.records("orders"))
			if known {
				produceUntilStored(t, p, saying("first"))
				want++
			}
			e.net.setCut(true)
			for _, a := range produce(t, p, messages("orders", 10)...).await() {
				require.ErrorIs(t, a.err, broker.CodeUnavailable)
				assert.True(t, broker.IsRetryable(a.err))
				assert.GreaterOrEqual(t, a.after, shortTimeout)
			}
			e.net.setCut(false)
			produceUntilStored(t, p, saying("last"))
			assert.Len(t, e.records("orders"), want+1)
		})
	}
}

func TestABrokerThatDoesNotAnswerIsUnavailable(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{Timeout: shortTimeout})
	e.net.setDeaf(true)
	a := produce(t, p, message("orders", "v")).await()[0]
	require.ErrorIs(t, a.err, broker.CodeUnavailable)
	assert.Less(t, a.after, 5*time.Second)
	e.net.setDeaf(false)
	produceUntilStored(t, p, saying("later"))
	assert.Len(t, e.records("orders"), 1)
}

// The broker has the message, its answer is lost: neither the timeout nor a later
// error may call it failed, and when the broker answers again it is found stored,
// once.
func TestALostAnswerIsAwaited(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{Timeout: shortTimeout})
	produceUntilStored(t, p, saying("first"))
	e.net.setDeaf(true)
	r := produce(t, p, message("orders", "second"))
	e.awaitStored("orders", 2)
	want := []string{"first", "second"}
	behind := []*results{r}
	for failed := false; !failed; {
		next := produce(t, p, message("orders", fmt.Sprint(len(want))))
		select {
		case <-next.done:
			require.ErrorIs(t, next.by[0].err, broker.CodeUnavailable, "it waited, and fails with certainty")
			assert.GreaterOrEqual(t, next.by[0].after, shortTimeout)
			failed = true
		case <-time.After(2 * shortTimeout): // the answer was not yet overdue, and the library has this one
			behind = append(behind, next)
			want = append(want, fmt.Sprint(len(want)))
		}
	}
	assert.Zero(t, r.count(), "long after its timeout")
	behind = append(behind, produce(t, p, message("orders", "last")))
	e.net.setDeaf(false)
	for _, r := range behind {
		r.mustStore()
	}
	assert.Equal(t, append(want, "last"), e.stored("orders")[0])
}

// A partition in doubt holds up no other, and messages that may go anywhere go
// elsewhere.
func TestALostAnswerHoldsUpItsPartitionAlone(t *testing.T) {
	e := newProduceEnv(t, nil, kfake.NumBrokers(2))
	e.topic("orders", 2)
	for partition, node := range []int32{0, 1} {
		require.NoError(t, e.cluster.MoveTopicPartition("orders", int32(partition), node))
	}
	p := e.producer(broker.ProducerOptions{Timeout: shortTimeout})
	to := func(partition int32) *broker.OutgoingMessage {
		m := message("orders", "v")
		m.Partition = partition
		return m
	}
	for partition := range int32(2) {
		produceUntilStored(t, p, func() *broker.OutgoingMessage { return to(partition) })
	}
	e.net.deafen(e.cluster.ListenAddrs()[0])
	stuck := produce(t, p, to(0))
	e.awaitStored("orders", 2)
	e.net.closeAll() // the answer is lost, and the broker doesn't answer on new connections
	behind := produce(t, p, to(0))
	produceUntilStored(t, p, func() *broker.OutgoingMessage { return to(1) })
	require.ErrorIs(t, behind.await()[0].err, broker.CodeUnavailable)
	for _, a := range produce(t, p, messages("orders", 100)...).mustStore() {
		assert.EqualValues(t, 1, a.receipt.Partition)
	}
	e.net.setDeaf(false)
	stuck.mustStore()
	assert.Len(t, e.stored("orders")[0], 2)
}

func (e *produceEnv) awaitStored(topic string, n int64) {
	e.Helper()
	require.Eventually(e, func() bool {
		return e.cluster.PartitionInfo(topic, 0).HighWatermark >= n
	}, patience, time.Millisecond)
}

// A lost answer, and then an answer that refuses the message: the library calls
// the message failed, but it may be (here: is) stored.
func TestALostAnswerBeforeARefusalLeavesDoubt(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	e.net.setDeaf(true)
	r := produce(t, p, message("orders", "second"))
	e.awaitStored("orders", 2)
	e.fault(kmsg.Produce, kerr.TopicAuthorizationFailed, -1)
	e.net.setDeaf(false)
	require.ErrorIs(t, r.await()[0].err, broker.CodeUnknownOutcome)
	require.ErrorIs(t, produce(t, p, message("orders", "third")).await()[0].err, broker.CodePermissionDenied,
		"of a message that came later nothing is in doubt")
	assert.Equal(t, []string{"first", "second"}, e.stored("orders")[0])
}

// Errors by which a broker says that it has written the message down, but can't
// vouch for it.
func TestAnAnswerThatLeavesDoubt(t *testing.T) {
	for _, first := range []*kerr.Error{kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		t.Run(first.Message, func(t *testing.T) {
			e := newProduceEnv(t, nil)
			e.topic("orders", 1)
			p := e.producer(broker.ProducerOptions{})
			produce(t, p, message("orders", "first")).mustStore()
			e.fault(kmsg.Produce, first, 1)
			refuse := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1})
			r := produce(t, p, message("orders", "second"))
			require.ErrorIs(t, r.await()[0].err, broker.CodeUnknownOutcome)
			refuse.Remove()
			assert.Equal(t, []string{"first", "second"}, e.stored("orders")[0])
		})
	}
}

func TestARefusalIsCertain(t *testing.T) {
	for refusal, code := range map[*kerr.Error]broker.Code{
		kerr.TopicAuthorizationFailed: broker.CodePermissionDenied,
		kerr.InvalidRecord:            broker.CodeInvalidArgument,
		kerr.InvalidTimestamp:         broker.CodeInvalidArgument,
		kerr.MessageTooLarge:          broker.CodeMessageTooLarge,
		kerr.CorruptMessage:           broker.CodeInvalidArgument,
	} {
		t.Run(refusal.Message, func(t *testing.T) {
			e := newProduceEnv(t, nil)
			e.topic("orders", 1)
			p := e.producer(broker.ProducerOptions{})
			produce(t, p, message("orders", "first")).mustStore()
			fault := e.fault(kmsg.Produce, refusal, -1)
			err := produce(t, p, message("orders", "second")).await()[0].err
			require.ErrorIs(t, err, code)
			assert.ErrorContains(t, err, `topic "orders" partition 0`)
			fault.Remove()
			produce(t, p, message("orders", "third")).mustStore()
			assert.Equal(t, []string{"first", "third"}, e.stored("orders")[0])
		})
	}
}

func TestTroubleThatPassesIsWaitedFor(t *testing.T) {
	for _, trouble := range []*kerr.Error{
		kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.NotLeaderForPartition,
		kerr.KafkaStorageError, kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch,
	} {
		t.Run(trouble.Message, func(t *testing.T) {
			e := newProduceEnv(t, nil)
			e.topic("orders", 1)
			p := e.producer(broker.ProducerOptions{})
			produce(t, p, message("orders", "first")).mustStore()
			e.fault(kmsg.Produce, trouble, 3)
			produce(t, p, message("orders", "second"), message("orders", "third")).mustStore()
			assert.Equal(t, []string{"first", "second", "third"}, e.stored("orders")[0])
		})
	}
}

func TestTroubleThatLastsIsUnavailable(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{Timeout: shortTimeout})
	produceUntilStored(t, p, saying("first"))
	fault := e.fault(kmsg.Produce, kerr.NotEnoughReplicas, -1)
	a := produce(t, p, message("orders", "second")).await()[0]
	require.ErrorIs(t, a.err, broker.CodeUnavailable)
	assert.GreaterOrEqual(t, a.after, shortTimeout)
	fault.Remove()
	produceUntilStored(t, p, saying("third"))
	assert.Equal(t, []string{"first", "third"}, e.stored("orders")[0])
}

// The client library gives up for good on a producer id after an answer that it
// doesn't think worth retrying.
func TestAProducerIDThatCannotBeHadIsAskedForAgain(t *testing.T) {
	for _, refusal := range []*kerr.Error{kerr.UnknownServerError, kerr.ClusterAuthorizationFailed} {
		t.Run(refusal.Message, func(t *testing.T) {
			e := newProduceEnv(t, nil)
			e.topic("orders", 1)
			p := e.producer(broker.ProducerOptions{Timeout: 2 * time.Second})
			fault := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: refusal, Count: -1, TopLevel: true})
			code := broker.CodeOf(produce(t, p, message("orders", "v")).await()[0].err)
			assert.Contains(t, []broker.Code{broker.CodeUnavailable, broker.CodePermissionDenied}, code)
			fault.Remove()
			require.Eventually(t, func() bool {
				return produce(t, p, message("orders", "later")).await()[0].err == nil
			}, patience, 50*time.Millisecond)
			produce(t, p, messages("orders", 100)...).mustStore()
			assert.Equal(t, "later", e.stored("orders")[0][0])
		})
	}
}

// Messages that come all the time leave the keeper little time once the first of them
// have waited too long. A producer id that takes longer is had all the same.
func TestAProducerIDThatTakesLongIsHadWhileMessagesTimeOut(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	const timeout = 200 * time.Millisecond
	e.cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		e.cluster.SleepControl(func() { time.Sleep(2 * timeout) })
		return nil, nil, false
	})
	p := e.producer(broker.ProducerOptions{Timeout: timeout})
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				p.ProduceAsync(message("orders", "v"), func(broker.MessageReceipt, error) {})
			}
		}
	})
	require.Eventually(t, func() bool { return len(e.records("orders")) > 0 }, patience, 50*time.Millisecond)
	close(stop)
	work.Wait()
}

// A topic that moves to another session waits for its producer id as the first one did.
func TestAProducerIDThatALaterSessionCannotHaveIsAwaited(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{Timeout: 5 * time.Second})
	produce(t, p, message("orders", "first")).mustStore()
	refusals := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.UnknownServerError, Count: -1, TopLevel: true})
	require.NoError(t, e.cluster.DeleteTopic("orders"))
	e.topic("orders", 1)
	require.Eventually(t, func() bool {
		if err := produce(t, p, message("orders", "refused")).await()[0].err; err == nil || refusals.Hits() == 0 {
			return false
		}
		return p.keeper.topic("orders").opened.Load() == nil
	}, patience, 10*time.Millisecond)
	assert.Empty(t, e.records("orders"))
	refusals.Remove()
	require.Eventually(t, func() bool {
		return produce(t, p, message("orders", "later")).await()[0].err == nil
	}, patience, 50*time.Millisecond)
	assert.Equal(t, []string{"later"}, e.stored("orders")[0])
}

func TestALeaderThatMovesIsFollowed(t *testing.T) {
	e := newProduceEnv(t, nil, kfake.NumBrokers(3))
	e.topic("orders", 3)
	p := e.producer(broker.ProducerOptions{})
	var all []*results
	for i := range 50 {
		m := messages("orders", 20)
		for j := range m {
			m[j].Key, m[j].Value = []byte("k"), fmt.Append(nil, i*20+j)
		}
		all = append(all, produce(t, p, m...))
		if i%10 == 5 {
			e.cluster.ShufflePartitionLeaders()
		}
	}
	for _, r := range all {
		r.mustStore()
	}
	for _, values := range e.stored("orders") {
		require.Len(t, values, 1000)
		for i, v := range values {
			require.Equal(t, fmt.Sprint(i), v)
		}
	}
}

// Connections are cut again and again; whatever is answered is true, nothing is
// stored twice, and order holds.
func TestCutsUnderLoad(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	var all []*results
	for i := range 30 {
		m := messages("orders", 50)
		for j := range m {
			m[j].Value = fmt.Append(nil, i*50+j)
		}
		all = append(all, produce(t, p, m...))
		e.net.setCut(i%2 == 0)
		time.Sleep(2 * time.Millisecond) // lets some of it through
	}
	e.net.setCut(false)
	want := []string{"first"}
	for i, r := range all {
		for j, a := range r.await() {
			if a.err == nil {
				want = append(want, fmt.Sprint(i*50+j))
			}
		}
	}
	got := e.stored("orders")[0]
	assert.Equal(t, want, got)
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(got))), len(got))
}

func TestCloseWithLostAnswers(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 2)
	p := e.producer(broker.ProducerOptions{})
	first := message("orders", "first")
	first.Partition = 0
	produce(t, p, first).mustStore()
	e.net.setDeaf(true)
	sent := message("orders", "sent")
	sent.Partition = 0
	r := produce(t, p, sent)
	e.awaitStored("orders", 2)
	begin := time.Now()
	require.NoError(t, p.Close())
	assert.Less(t, time.Since(begin), 5*time.Second)
	require.ErrorIs(t, r.await()[0].err, broker.CodeUnknownOutcome)
}

func TestCloseOfWhatWasNeverSent(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	for _, known := range []bool{true, false} {
		p := e.producer(broker.ProducerOptions{})
		if known {
			produce(t, p, message("orders", "first")).mustStore()
		}
		e.net.setCut(true)
		r := produce(t, p, messages("orders", 10)...)
		require.NoError(t, p.Close())
		for _, a := range r.await() {
			require.ErrorIs(t, a.err, broker.ErrClosed)
		}
		e.net.setCut(false)
	}
	assert.Equal(t, []string{"first"}, e.stored("orders")[0])
}

func TestPing(t *testing.T) {
	e := newProduceEnv(t, nil)
	ctx := t.Context()
	require.NoError(t, e.broker.Ping(ctx))
	e.net.setCut(true)
	e.pingFails(5 * time.Second)
	e.net.setCut(false)
	require.Eventually(t, func() bool { return e.broker.Ping(ctx) == nil }, patience, 10*time.Millisecond)
	e.net.setDeaf(true)
	e.pingFails(200 * time.Millisecond)
	e.net.setDeaf(false)
	require.Eventually(t, func() bool { return e.broker.Ping(ctx) == nil }, patience, 10*time.Millisecond)

	require.NoError(t, e.broker.Close())
	require.ErrorIs(t, e.broker.Ping(ctx), broker.ErrClosed)
	require.NoError(t, e.broker.Close())
}

func (e *produceEnv) pingFails(limit time.Duration) {
	e.Helper()
	ctx, cancel := contextWithTimeout(e.T, limit)
	defer cancel()
	begin := time.Now()
	err := e.broker.Ping(ctx)
	require.ErrorIs(e, err, broker.CodeUnavailable)
	assert.Less(e, time.Since(begin), limit+time.Second)
	assert.True(e, strings.Contains(err.Error(), "can't be reached"), err)
}

// The library learns that the topic is out of its reach while the broker works on
// a request, and fails the messages that are in it.
func TestWhatTheLibraryFailsWhileItIsUnderWay(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	e.net.setDeaf(true)
	r := produce(t, p, message("orders", "second"))
	e.awaitStored("orders", 2)
	e.net.awaitSwallowed(t)
	e.net.setDeafTo(nil) // but the answer is lost
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: -1})
	p.keeper.mu.Lock()
	p.keeper.sessions[0].cl.ForceMetadataRefresh()
	p.keeper.mu.Unlock()
	require.ErrorIs(t, r.await()[0].err, broker.CodeUnknownOutcome)
}

// Messages are held behind a lost answer when the topic turns out to be another
// one: they go there, in order, before what came later.
func TestHeldMessagesMoveWithTheirTopic(t *testing.T) {
	e := newProduceEnv(t, nil)
	e.topic("orders", 1)
	p := e.producer(broker.ProducerOptions{})
	produce(t, p, message("orders", "first")).mustStore()
	e.net.setDeaf(true)
	lost := produce(t, p, message("orders", "second"))
	e.awaitStored("orders", 2)
	var held []*results
	lane := p.keeper.topic("orders").opened.Load().lanes[0]
	for !lane.blocked.Load() { // until the answer counts as overdue
		time.Sleep(10 * time.Millisecond)
		held = append(held, produce(t, p, message("orders", fmt.Sprint(len(held)))))
	}
	for range 10 {
		held = append(held, produce(t, p, message("orders", fmt.Sprint(len(held)))))
	}
	require.NoError(t, e.cluster.DeleteTopic("orders"))
	e.topic("orders", 1)
	e.net.setDeaf(false)

	require.ErrorIs(t, lost.await()[0].err, broker.CodeUnknownOutcome)
	var want []string
	for i, r := range held {
		if r.await()[0].err == nil {
			want = append(want, fmt.Sprint(i))
		}
	}
	assert.GreaterOrEqual(t, len(want), 10, "the held ones")
	produce(t, p, message("orders", "last")).mustStore()
	assert.Equal(t, append(want, "last"), e.stored("orders")[0])
}
