package produce

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

func TestP2ReaderStopsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{})) // 1,000
		stream.send(outgoing(1, 999)...)
		require.True(t, stream.trySend(outgoing(1000, 1000)...), "999 are fewer than 1,000")
		require.False(t, stream.trySend(outgoing(1001, 1001)...), "1,000 are not")
		require.Equal(t, 1000, producer.givenSoFar())

		producer.store(1)
		require.True(t, stream.trySend(outgoing(1001, 1001)...), "a result has been sent")
		require.False(t, stream.trySend())
		require.Equal(t, 1001, producer.givenSoFar())
	})
}

func TestP2RequestAboveTheLimitIsTakenPieceByPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{MaxOutstandingMessages: 10}))
		stream.send(outgoing(1, 35)...)
		for answered := 0; answered < 35; {
			require.Equal(t, min(35, answered+10), producer.givenSoFar())
			n := min(4, 35-answered)
			producer.store(n)
			answered += n
			synctest.Wait()
		}
		assert.Equal(t, numbers(1, 35), sequences(stream.results(), stored))
	})
}

func TestP2InvalidMessagesTakeTheirPlaceInTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := open(t, NewService(new(fakeProducer), Config{MaxOutstandingMessages: 2}))
		unblock := stream.blockSends()
		invalid := make([]*messageproxyv1.OutgoingMessage, 5)
		for i := range invalid {
			invalid[i] = &messageproxyv1.OutgoingMessage{Sequence: uint64(i + 1)}
		}
		stream.send(invalid...)
		require.False(t, stream.trySend())
		unblock()
		assert.Equal(t, numbers(1, 5), sequences(stream.results(), badArg))
		require.True(t, stream.trySend())
	})
}

func TestP2ResultsThatAreNotSentKeepTheWindowShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		stream := open(t, NewService(producer, Config{MaxOutstandingMessages: 3}))
		unblock := stream.blockSends()
		stream.send(outgoing(1, 5)...)
		producer.store(-1)
		synctest.Wait()
		require.Equal(t, 3, producer.givenSoFar(), "stored, but the client doesn't know yet")
		unblock()
		synctest.Wait()
		require.Equal(t, 5, producer.givenSoFar())
	})
}

func TestP2ClientThatNeverReadsStopsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 5, MaxOutstandingBytes: 5000})
		deaf, other := open(t, service), open(t, service)
		deaf.blockSends()
		deaf.send(outgoing(1, 20)...)
		producer.store(-1) // callbacks return although nothing can be sent
		synctest.Wait()
		require.Zero(t, service.Stats().OutstandingBytes, "it keeps no bytes from others")
		require.False(t, deaf.trySend())

		for i := range 20 {
			other.send(outgoing(i+1, i+1)...)
			producer.store(-1)
		}
		assert.Equal(t, numbers(1, 20), sequences(other.results(), stored))
	})
}

// smallest is what a message of outgoing takes of the budget.
const smallest = messageOverhead + int64(len("value"))

func TestP2BytesAreBoundedForTheWholeServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingBytes: 10 * smallest})
		a, b := open(t, service), open(t, service)
		a.send(outgoing(1, 50)...)
		b.send(outgoing(1, 50)...)
		for stored := 0; stored < 100; stored += 3 {
			synctest.Wait()
			stats := service.Stats()
			require.Equal(t, min(10, 100-stored), stats.OutstandingMessages)
			require.Equal(t, int64(stats.OutstandingMessages)*smallest, stats.OutstandingBytes)
			producer.store(min(3, 100-stored))
		}
		assert.Equal(t, numbers(1, 50), sequences(a.results(), stored))
		assert.Equal(t, numbers(1, 50), sequences(b.results(), stored))
		assert.Zero(t, service.Stats().OutstandingBytes)
	})
}

func TestP2StreamsTakeTurnsForBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingBytes: 4 * smallest})
		greedy, modest := open(t, service), open(t, service)
		greedy.send(outgoing(1, 500)...)
		modest.send(outgoing(1, 2)...)
		for turn := 1; turn <= 2; turn++ {
			producer.store(2) // one turn for each stream
			synctest.Wait()
		}
		producer.store(-1)
		assert.Equal(t, numbers(1, 2), sequences(modest.results(), stored))
	})
}

func TestP2MessageAboveTheBudgetGetsThroughAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingBytes: 2000})
		large, small := open(t, service), open(t, service)
		small.send(outgoing(1, 2)...)
		large.send(&messageproxyv1.OutgoingMessage{Sequence: 9, Topic: "orders", Value: make([]byte, 100_000)})
		small.send(outgoing(3, 3)...)
		require.Equal(t, 2, producer.givenSoFar(), "the large one waits, and nobody passes it")
		producer.store(2)
		synctest.Wait()
		require.Equal(t, 3, producer.givenSoFar(), "it is alone")
		require.EqualValues(t, 2000, service.Stats().OutstandingBytes)
		producer.store(1)
		assert.Equal(t, []int{9}, sequences(large.results(), stored))
		producer.store(-1)
		assert.Equal(t, numbers(1, 3), sequences(small.results(), stored))
	})
}

func TestP2WaitForBytesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingBytes: 2 * smallest, Timeout: 30 * time.Second})
		stream := open(t, service)
		start := time.Now()
		stream.send(outgoing(1, 50)...)
		time.Sleep(30*time.Second - time.Millisecond)
		require.Empty(t, stream.results())
		time.Sleep(time.Millisecond)
		assert.Equal(t, numbers(3, 50), sequences(stream.results(), full), "never given to the broker, all at once")
		assert.Equal(t, 30*time.Second, time.Since(start))

		time.Sleep(time.Second)
		assert.Equal(t, numbers(1, 2), sequences(stream.results(), unknown))
		require.Equal(t, 2*smallest, service.Stats().OutstandingBytes, "the broker still holds them")
		producer.store(-1)
		require.Zero(t, service.Stats().OutstandingBytes)
		stream.send(outgoing(51, 51)...)
		producer.store(-1)
		assert.Equal(t, []int{51}, sequences(stream.results(), stored))
	})
}

func TestP2BudgetGrantsInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		require.True(t, b.tryAcquire(1, 8))
		var order []string
		wait := func(name string, bytes int64, patience time.Duration) {
			go func() {
				if b.acquire(bytes, time.Now().Add(patience), nil) == nil {
					order = append(order, name)
				}
			}()
			synctest.Wait()
		}
		wait("large", 10, time.Minute)
		wait("impatient", 9, time.Second)
		wait("small", 1, time.Minute)
		require.False(t, b.tryAcquire(1, 1), "nobody passes those who wait")
		time.Sleep(time.Second)
		b.release(8)
		synctest.Wait()
		assert.Equal(t, []string{"large"}, order)
		b.release(10)
		synctest.Wait()
		assert.Equal(t, []string{"large", "small"}, order)
		b.release(1)
		messages, bytes := b.inUse()
		assert.Zero(t, messages)
		assert.Zero(t, bytes)
	})
}

// When the first in line gives up, those behind it that fit go on at once.
func TestP2BudgetLetsOthersOnWhenTheFirstGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10)
		require.True(t, b.tryAcquire(1, 8))
		var first, second error
		go func() { first = b.acquire(10, time.Now().Add(time.Second), nil) }()
		synctest.Wait()
		start := time.Now()
		second = b.acquire(2, time.Now().Add(time.Minute), nil)
		assert.Equal(t, time.Second, time.Since(start))
		assert.NoError(t, second)
		synctest.Wait()
		assert.ErrorIs(t, first, errBudgetFull)
	})
}
