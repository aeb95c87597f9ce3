package produce

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// startDrain runs Drain in the background.
func startDrain(t *testing.T, service *Service, timeout time.Duration) <-chan error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- service.Drain(ctx) }()
	synctest.Wait()
	return done
}

func TestP3DrainAnswersWhatWasReadThenEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 10})
		stream := open(t, service)
		stream.send(outgoing(1, 25)...)
		drained := startDrain(t, service, time.Minute)
		for answered := 0; answered < 25; answered += 5 {
			require.False(t, stream.hasEnded())
			producer.store(5)
			synctest.Wait()
		}
		assert.Equal(t, numbers(1, 25), sequences(stream.results(), stored), "the rest of the request too")
		stream.requireEnded(t, going)
		require.NoError(t, <-drained)
		assert.Equal(t, 1, producer.flushed, "messages of cancelled streams have nobody else to wait for them")
		require.NoError(t, service.Drain(t.Context()), "again")
	})
}

// A request that is received when the drain has begun isn't accepted: what is
// unanswered then was not stored.
func TestP3DrainTakesNoMoreRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		stream := open(t, service)
		stream.send(outgoing(1, 1)...)
		drained := startDrain(t, service, time.Minute)
		require.True(t, stream.trySend(outgoing(2, 2)...), "the server was receiving already")
		require.False(t, stream.trySend(outgoing(3, 3)...))
		require.Equal(t, 1, producer.givenSoFar())
		producer.store(1)
		require.NoError(t, <-drained)
		require.Len(t, stream.results(), 1)
		stream.requireEnded(t, going)
	})
}

func TestP3DrainEndsIdleStreamsAtOnceAndRefusesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := NewService(new(fakeProducer), Config{})
		idle := open(t, service)
		synctest.Wait()
		require.NoError(t, service.Drain(t.Context()))
		idle.requireEnded(t, going)
		late := open(t, service)
		late.requireEnded(t, going)
	})
}

func TestP3DrainTimeoutAnswersTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 10})
		stream := open(t, service)
		stream.send(outgoing(1, 25)...)
		producer.store(2)
		drained := startDrain(t, service, 5*time.Second)
		require.ErrorIs(t, <-drained, context.DeadlineExceeded)

		assert.Equal(t, numbers(1, 2), sequences(stream.results(), stored))
		assert.Equal(t, numbers(3, 12), sequences(stream.results(), unknown), "the broker has them")
		assert.Equal(t, numbers(13, 25), sequences(stream.results(), going), "the broker never got them")
		stream.requireEnded(t, going)
		require.Equal(t, 12, producer.givenSoFar())
		producer.store(-1)
		assert.Zero(t, service.Stats().OutstandingBytes)
		require.NoError(t, service.Drain(t.Context()), "again, with nothing left to wait for")
	})
}

func TestP3DrainTimeoutWhileWaitingForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingBytes: 2 * smallest, Timeout: time.Hour})
		stream := open(t, service)
		stream.send(outgoing(1, 5)...)
		require.ErrorIs(t, <-startDrain(t, service, time.Second), context.DeadlineExceeded)
		assert.Equal(t, numbers(1, 2), sequences(stream.results(), unknown))
		assert.Equal(t, numbers(3, 5), sequences(stream.results(), going))
		stream.requireEnded(t, going)
		producer.store(-1)
		assert.Zero(t, service.Stats().OutstandingBytes)
	})
}

func TestP3DrainDoesNotWaitLongerForClientsThatDoNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		deaf, good := open(t, service), open(t, service)
		deaf.blockSends()
		deaf.send(outgoing(1, 5)...)
		good.send(outgoing(1, 5)...)
		producer.store(-1)
		drained := startDrain(t, service, 5*time.Second)
		good.requireEnded(t, going)
		require.ErrorIs(t, <-drained, context.DeadlineExceeded)
		require.False(t, deaf.hasEnded())
		deaf.cancel() // the server closes the connection
		require.True(t, deaf.hasEnded())
	})
}

func TestP3HalfCloseDuringADrainStillEndsWithOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{})
		stream := open(t, service)
		stream.send(outgoing(1, 1)...)
		stream.halfClose()
		drained := startDrain(t, service, time.Minute)
		producer.store(1)
		require.NoError(t, <-drained)
		stream.requireEnded(t, messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED)
	})
}
