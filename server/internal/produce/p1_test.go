package produce

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestP1AnyNumberOfMessagesForAnyTopicsInOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{}))
		var messages []*messageproxyv1.OutgoingMessage
		for i, topic := range []string{"orders", "payments", "orders", "events"} {
			messages = append(messages, &messageproxyv1.OutgoingMessage{Sequence: uint64(i + 1), Topic: topic})
		}
		stream.send(messages...)
		stream.send()

		held := producer.take(-1)
		require.Len(t, held, 4)
		for i, h := range held {
			assert.Equal(t, messages[i].GetTopic(), h.Topic)
			producer.storeOne(h)
		}
		results := stream.results()
		require.Len(t, results, 4)
		assert.Equal(t, "id-1", results[0].GetReceipt().GetMessageId())
		assert.EqualValues(t, 1234, results[0].GetReceipt().GetTimestampMs())
		stream.halfClose()
		stream.requireEnded(t, stored)
	})
}

func TestP1CancelledStreamFailsNobodyElsesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		leaver, stayer := open(t, service), open(t, service)
		leaver.send(outgoing(1, 3)...)
		stayer.send(outgoing(1, 3)...)
		leaver.cancel()
		require.True(t, leaver.hasEnded())
		assert.Equal(t, codes.Canceled, status.Code(leaver.err))

		producer.store(-1)
		assert.Equal(t, numbers(1, 3), sequences(stayer.results(), stored))
		stayer.send(outgoing(4, 4)...)
		producer.store(-1)
		assert.Equal(t, numbers(1, 4), sequences(stayer.results(), stored))
	})
}

func TestP1CancelledStreamsMessagesAreStillGivenToTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 10})
		stream := open(t, service)
		stream.send(outgoing(1, 35)...)
		require.Equal(t, 10, producer.givenSoFar())
		stream.cancel()
		for producer.givenSoFar() < 35 {
			producer.store(5)
			synctest.Wait()
		}
		require.True(t, stream.hasEnded(), "all that was read has been given")
		producer.store(-1)
		assert.Empty(t, stream.results(), "nobody wants them")
		stats := service.Stats()
		assert.EqualValues(t, 35, stats.Stored)
		assert.Zero(t, stats.OutstandingBytes)
		assert.Zero(t, stats.Streams)
	})
}

// While the broker is away, a request of many windows doesn't keep the handler of a
// client that has gone for hours.
func TestP1CancelledStreamDoesNotWaitForABrokerThatIsAway(t *testing.T) {
	const messages = 50_000
	for name, limit := range map[string]int64{"by the window": 0, "by the budget": 10_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				producer := new(fakeProducer)
				var log bytes.Buffer
				cfg := Config{MaxOutstandingMessages: 1000, MaxOutstandingBytes: limit, Logger: slog.New(slog.NewTextHandler(&log, nil))}
				service := NewService(producer, cfg)
				stream := open(t, service)
				stream.send(outgoing(1, messages)...)
				begin := time.Now()
				stream.cancel()
				<-stream.ended
				require.LessOrEqual(t, time.Since(begin), 65*time.Second, "twice the produce timeout, and some")
				producer.store(-1)
				stats := service.Stats()
				assert.EqualValues(t, messages, stats.Stored+stats.Failed+stats.UnknownOutcome)
				assert.Zero(t, stats.OutstandingBytes)
				assert.Zero(t, stats.OutstandingMessages)
				assert.Contains(t, log.String(), "messages of a client that has gone were not stored")
			})
		})
	}
}

// Results that were made and never sent don't keep the rest of the request from
// the broker.
func TestP1CancelledStreamWithUnsentResultsStillGivesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 3})
		stream := open(t, service)
		stream.blockSends()
		stream.send(outgoing(1, 10)...)
		producer.store(1) // is being sent
		synctest.Wait()
		producer.store(2) // waits to be sent
		synctest.Wait()
		require.Equal(t, 3, producer.givenSoFar())
		stream.cancel()
		synctest.Wait()
		require.Equal(t, 6, producer.givenSoFar())
		producer.answer = producer.storeOne
		producer.store(-1)
		require.True(t, stream.hasEnded())
		assert.Equal(t, 10, producer.givenSoFar())
		assert.EqualValues(t, 10, service.Stats().Stored)
	})
}

func TestP1HalfCloseAnswersEverythingAndEndsWithOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{MaxOutstandingMessages: 4}))
		stream.send(outgoing(1, 7)...)
		producer.store(4)
		synctest.Wait()
		stream.halfClose()
		require.False(t, stream.hasEnded(), "three messages have no result")
		producer.store(-1)
		assert.Equal(t, numbers(1, 7), sequences(stream.results(), stored))
		stream.requireEnded(t, stored)
	})
}

func TestP1HalfCloseWithoutMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := open(t, NewService(new(fakeProducer), Config{}))
		stream.halfClose()
		stream.requireEnded(t, stored)
		assert.Empty(t, stream.frames())
	})
}
