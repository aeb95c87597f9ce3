package produce

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// large returns messages that make a request count as large.
func large(first, last int) []*messageproxyv1.OutgoingMessage {
	messages := outgoing(first, last)
	messages[0].Value = make([]byte, largeRequest)
	return messages
}

const exhausted = messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED

func TestP2LargeRequestsInHandAreBoundedForTheWholeServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 2, MaxOutstandingBytes: 2 * largeRequest})
		holder, refused, modest := open(t, service), open(t, service), open(t, service)
		holder.send(large(1, 4)...)
		synctest.Wait()
		require.Equal(t, 2, producer.givenSoFar())
		require.Greater(t, service.Stats().LargeRequestBytes, int64(largeRequest))

		refused.send(large(1, 5)...)
		synctest.Wait()
		assert.Equal(t, numbers(1, 5), sequences(refused.results(), exhausted), "one result each")
		modest.send(outgoing(1, 3)...)
		synctest.Wait()
		require.Equal(t, 4, producer.givenSoFar(), "small ones go on")

		producer.store(-1)
		synctest.Wait()
		producer.store(-1)
		synctest.Wait()
		assert.Equal(t, numbers(1, 4), sequences(holder.results(), stored))
		require.Zero(t, service.Stats().LargeRequestBytes)
		refused.send(large(6, 7)...)
		synctest.Wait()
		producer.store(-1)
		synctest.Wait()
		assert.Equal(t, []int{6, 7}, sequences(refused.results(), stored), "there is room again")
	})
}

func TestP2OneLargeRequestAboveTheLimitGetsThrough(t *testing.T) {
	r := requestBytes{limit: 10}
	require.True(t, r.take(100))
	require.False(t, r.take(1))
	r.used.Add(-100)
	require.True(t, r.take(4))
	require.True(t, r.take(6))
	require.False(t, r.take(1))
}

func TestP2LargeRequestOfAClientThatDoesNotReadIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		producer := new(fakeProducer)
		service := NewService(producer, Config{MaxOutstandingMessages: 3, Timeout: 10 * time.Second})
		stream := open(t, service)
		unblock := stream.blockSends()
		stream.send(large(1, 8)...)
		producer.store(-1)
		time.Sleep(10*time.Second + readGrace - time.Millisecond)
		synctest.Wait()
		require.NotZero(t, service.Stats().LargeRequestBytes)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Zero(t, service.Stats().LargeRequestBytes)
		unblock()
		synctest.Wait()
		assert.Equal(t, numbers(1, 3), sequences(stream.results(), stored))
		assert.Equal(t, numbers(4, 8), sequences(stream.results(), exhausted))
		require.Equal(t, 3, producer.givenSoFar())
		stream.send(outgoing(9, 9)...)
		synctest.Wait()
		producer.store(-1)
		synctest.Wait()
		assert.Equal(t, []int{9}, sequences(stream.results(), stored)[3:], "the stream goes on")
	})
}
