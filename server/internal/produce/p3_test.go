package produce

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

func TestP3BrokerErrorsBecomeResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		stream.send(outgoing(1, 4)...)
		held := producer.take(-1)
		held[0].done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeTopicNotFound, Topic: "orders", Partition: broker.AnyPartition})
		held[1].done(broker.MessageReceipt{}, fmt.Errorf("wrapped: %w", &broker.Error{Code: broker.CodeUnavailable, Retryable: true, Message: "no leader"}))
		held[2].done(broker.MessageReceipt{}, broker.ErrClosed)
		held[3].done(broker.MessageReceipt{ID: "bad \xff id"}, nil)

		results := stream.results()
		require.Len(t, results, 4)
		assert.Equal(t, messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND, results[0].GetError().GetCode())
		assert.Contains(t, results[0].GetError().GetMessage(), `"orders"`)
		assert.Equal(t, down, results[1].GetError().GetCode())
		assert.True(t, results[1].GetError().GetRetryable())
		assert.Contains(t, results[1].GetError().GetMessage(), "no leader")
		assert.Equal(t, going, results[2].GetError().GetCode())
		assert.Equal(t, "bad \uFFFD id", results[3].GetReceipt().GetMessageId())
		assert.True(t, stream.trySend(), "the stream lives")
	})
}

// "Failed" is said only when the message is certainly not stored: an error that
// isn't of the broker contract doesn't say that.
func TestP3ErrorOutsideOfTheContractIsAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		stream := open(t, service)
		stream.send(outgoing(1, 1)...)
		producer.take(1)[0].done(broker.MessageReceipt{}, errors.New("something \xff odd"))
		assert.Equal(t, []int{1}, sequences(stream.results(), unknown))
		assert.EqualValues(t, 1, service.Stats().UnknownOutcome)
	})
}

func TestP3SilenceOfTheBrokerIsAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{Timeout: 30 * time.Second})
		stream := open(t, service)
		stream.send(outgoing(1, 3)...)
		time.Sleep(10 * time.Second)
		stream.send(outgoing(4, 5)...)
		producer.store(1)
		time.Sleep(21*time.Second - time.Millisecond)
		require.Equal(t, []int{1}, sequences(stream.results(), stored), "the producer has a second more than its timeout")
		require.Len(t, stream.results(), 1)

		time.Sleep(time.Millisecond)
		require.Equal(t, []int{2, 3}, sequences(stream.results(), unknown))
		time.Sleep(10 * time.Second)
		require.Equal(t, []int{2, 3, 4, 5}, sequences(stream.results(), unknown))
		assert.Equal(t, 4, service.Stats().OutstandingMessages, "the broker still holds them")

		producer.store(-1)
		assert.Len(t, stream.results(), 5, "a late callback makes no second result")
		assert.Zero(t, service.Stats().OutstandingMessages, "but gives the bytes back")
		stream.halfClose()
		stream.requireEnded(t, stored)
	})
}

// The watch over the oldest message goes on after a time with nothing to watch.
func TestP3SilenceAfterAnIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{Timeout: time.Second}))
		stream.send(outgoing(1, 1)...)
		producer.store(1)
		time.Sleep(time.Hour)
		stream.send(outgoing(2, 2)...)
		time.Sleep(2 * time.Second)
		assert.Equal(t, []int{2}, sequences(stream.results(), unknown))
		stream.halfClose()
		stream.requireEnded(t, stored)
	})
}

func TestP3TimeoutSaidByTheBackendIsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{Timeout: 30 * time.Second}))
		stream.send(outgoing(1, 1)...)
		time.Sleep(30*time.Second + 500*time.Millisecond)
		producer.take(1)[0].done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeUnavailable, Retryable: true})
		time.Sleep(time.Minute)
		assert.Equal(t, []int{1}, sequences(stream.results(), down))
		assert.Len(t, stream.results(), 1)
	})
}

func TestP3CallbacksThatRaceTheTimeoutMakeOneResult(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			producer := new(fakeProducer)
			service := NewService(producer, Config{Timeout: time.Second})
			stream := open(t, service)
			stream.send(outgoing(1, 100)...)
			for _, h := range producer.take(-1) {
				time.AfterFunc(2*time.Second, func() { producer.storeOne(h) }) // the deadline exactly
			}
			time.Sleep(3 * time.Second)
			requireOneEach(t, stream.results(), 100)
			stats := service.Stats()
			assert.EqualValues(t, 100, stats.Stored+stats.UnknownOutcome)
			assert.Zero(t, stats.OutstandingBytes)
			stream.halfClose()
			stream.requireEnded(t, stored)
		})
	}
}

func requireOneEach(t require.TestingT, results []*messageproxyv1.ProduceResult, n int) {
	seen := make(map[uint64]int)
	for _, r := range results {
		seen[r.GetSequence()]++
	}
	for i := range n {
		require.Equal(t, 1, seen[uint64(i+1)], "results of message %d", i+1)
	}
	require.Len(t, results, n)
}

func TestP3ReceiptsOfAPartitionComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		messages := outgoing(1, 300)
		for i, m := range messages {
			partition := int32(i % 3)
			m.Partition = &partition
		}
		stream.send(messages[:100]...)
		stream.send(messages[100:]...)
		byPartition := make([][]heldMessage, 3)
		for _, h := range producer.take(-1) {
			byPartition[h.Partition] = append(byPartition[h.Partition], h)
		}
		for _, partition := range []int{2, 0, 1} {
			for _, h := range byPartition[partition] {
				producer.storeOne(h)
			}
		}
		last := make([]uint64, 3)
		for _, r := range stream.results() {
			partition := r.GetReceipt().GetPartition()
			require.Less(t, last[partition], r.GetSequence())
			last[partition] = r.GetSequence()
		}
		requireOneEach(t, stream.results(), 300)
	})
}

func TestP3ErrorsMayOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		stream.send(outgoing(1, 1)[0], &messageproxyv1.OutgoingMessage{Sequence: 2})
		assert.Equal(t, []int{2}, sequences(stream.results(), badArg))
		producer.store(1)
		assert.Equal(t, []int{1}, sequences(stream.results(), stored))
	})
}

func TestP3ProducerMayCallBackBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		producer.answer = producer.storeOne
		stream := open(t, NewService(producer, Config{MaxOutstandingMessages: 7}))
		stream.send(outgoing(1, 100)...)
		assert.Equal(t, numbers(1, 100), sequences(stream.results(), stored))
	})
}

// What gathers while a frame is being sent goes out in one frame.
func TestP3ResultsGatherWhileAFrameIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		unblock := stream.blockSends()
		stream.send(outgoing(1, 100)...)
		for range 100 {
			producer.store(1) // returns at once, whatever Send does
			synctest.Wait()
		}
		unblock()
		frames := stream.frames()
		require.Len(t, frames, 2)
		assert.Len(t, frames[0].GetResults(), 1)
		assert.Len(t, frames[1].GetResults(), 99)
	})
}

func TestP3FramesStayBelowTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{MaxOutstandingMessages: 2000}))
		unblock := stream.blockSends()
		stream.send(outgoing(1, 2000)...)
		for i, h := range producer.take(-1) {
			if i%2 == 0 {
				h.done(broker.MessageReceipt{ID: strings.Repeat("i", 512)}, nil)
			} else {
				h.done(broker.MessageReceipt{}, &broker.Error{Message: strings.Repeat("e", 5000)})
			}
		}
		unblock()
		requireOneEach(t, stream.results(), 2000)
		frames := stream.frames()
		assert.Less(t, len(frames), 10)
		for _, frame := range frames {
			size := len(mustMarshal(t, frame))
			assert.LessOrEqual(t, size, 256<<10)
		}
	})
}

// plan is a random course of events of one stream.
type plan struct {
	window  int
	budget  int64
	actions []action
}

type action struct {
	kind string // send, answer, wait
	n    int
	how  []int // per message: how it is sent, or answered
}

func drawPlan(t *rapid.T) plan {
	p := plan{
		window: rapid.IntRange(1, 20).Draw(t, "window"),
		budget: int64(rapid.IntRange(1, 20).Draw(t, "budget")) * 100,
	}
	for range rapid.IntRange(1, 25).Draw(t, "actions") {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		p.actions = append(p.actions, action{
			kind: rapid.SampledFrom([]string{"send", "send", "answer", "answer", "wait"}).Draw(t, "kind"),
			n:    n,
			how:  rapid.SliceOfN(rapid.IntRange(0, 5), n, n).Draw(t, "how"),
		})
	}
	return p
}

// Whatever happens, in whatever order, every message that was read has exactly one
// result when the stream has ended, and every byte is given back.
func TestP3OneResultEach(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt)
		var results []*messageproxyv1.ProduceResult
		var sent int
		var stats Stats
		synctest.Test(t, func(t *testing.T) { results, sent, stats = run(t, p) })
		requireOneEach(rt, results, sent)
		require.Zero(rt, stats.OutstandingMessages)
		require.Zero(rt, stats.OutstandingBytes)
		require.EqualValues(rt, sent, stats.Stored+stats.Failed+stats.UnknownOutcome)
	})
}

func run(t *testing.T, p plan) (results []*messageproxyv1.ProduceResult, sent int, stats Stats) {
	producer := new(fakeProducer)
	service := NewService(producer, Config{
		MaxOutstandingMessages: p.window, MaxOutstandingBytes: p.budget, Timeout: time.Second, MaxMessageBytes: 100,
	})
	stream := open(t, service)
	for _, a := range p.actions {
		switch a.kind {
		case "send":
			messages := outgoing(sent+1, sent+a.n)
			for i, m := range messages {
				spoil(m, a.how[i])
			}
			if stream.trySend(messages...) {
				sent += a.n
			}
		case "answer":
			for i, h := range producer.take(a.n) {
				answer(producer, h, a.how[i])
			}
		case "wait":
			time.Sleep(time.Duration(a.n) * 100 * time.Millisecond)
		}
	}
	stream.halfClose()
	for !stream.hasEnded() {
		time.Sleep(time.Second) // what isn't answered is given up
	}
	for _, h := range producer.take(-1) {
		producer.storeOne(h) // late
	}
	return stream.results(), sent, service.Stats()
}

func spoil(m *messageproxyv1.OutgoingMessage, how int) {
	switch how {
	case 0:
		m.Topic = ""
	case 1:
		m.Value = make([]byte, 101)
	}
}

func answer(producer *fakeProducer, h heldMessage, how int) {
	switch how {
	case 0:
		h.done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeUnavailable})
	case 1:
		h.done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeUnknownOutcome})
	default:
		producer.storeOne(h)
	}
}
