//go:build synctests

package kafka

import (
	"testing"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// expire deletes the messages of a partition below offset.
func (e *env) expire(partition int32, offset int64) {
	e.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(testTopic, partition, offset, -1)
	_, err := e.admin.DeleteRecords(e.Context(), offsets)
	require.NoError(e, err)
}

func TestExpiredBeforeItWasAssigned(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		c.close()
		e.produce(0, 10, 10)
		e.expire(0, 15)

		c = e.open()
		c.pollMessages(0, 5)
		assert.Equal(e, numbers(15, 5), values(c.messages[0]))
		assert.Equal(e, []broker.EventExpired{{Partition: tp(0), Count: 12}}, eventsOf[broker.EventExpired](c))
		c.ack(0, 15)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 16, e.committed(0))
		assert.Zero(e, c.errs)
	})
}

func TestExpiredEverything(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		c := e.open()
		c.pollMessages(0, 10)
		c.ack(0, 0, 1, 2)
		c.close()
		e.expire(0, 10)
		c = e.open()
		c.pollUntil("that is told", func() bool { return len(eventsOf[broker.EventExpired](c)) == 1 })
		assert.EqualValues(e, 7, eventsOf[broker.EventExpired](c)[0].Count)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 10, e.committed(0), "nothing is left to be read")
		e.produce(0, 10, 1)
		c.pollMessages(0, 1)
		assert.Len(e, eventsOf[broker.EventExpired](c), 1)
	})
}

func TestExpiredWhilePaused(t *testing.T) {
	inBubble(t, 2, func(e *env) {
		c := e.open(withWindow(10))
		e.produce(0, 0, 10)
		c.pollMessages(0, 10)
		e.produce(0, 10, 90)
		c.pollFor(time.Second)
		held := len(c.messages[0])
		e.expire(0, 50)
		c.pollFor(time.Minute)
		assert.Empty(e, eventsOf[broker.EventExpired](c), "nothing was asked of it")
		c.ackAll(0)
		c.pollUntil("it goes on", func() bool { return len(c.messages[0]) > held })
		assert.Equal(e, []broker.EventExpired{{Partition: tp(0), Count: uint64(50 - held)}}, eventsOf[broker.EventExpired](c))
		assert.EqualValues(e, 50, c.messages[0][held].Position)
		e.produce(1, 0, 1)
		c.pollMessages(1, 1) // the rest goes on as well
	})
}

func TestExpiredFromTheOldestOn(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		e.expire(0, 5)
		c := e.open()
		c.pollMessages(0, 5)
		assert.Empty(e, eventsOf[broker.EventExpired](c), "a new subscription begins with the oldest that is left")
	})
}

// The log is shorter than the position: it was cut off, or somebody moved the
// subscription's position.
func TestPositionBeyondTheEnd(t *testing.T) {
	inBubble(t, 1, func(e *env) {
		e.produce(0, 0, 10)
		var offsets kadm.Offsets
		offsets.AddOffset(testTopic, 0, 1000, -1)
		require.NoError(e, e.admin.CommitAllOffsets(e.Context(), "billing", offsets))
		c := e.open()
		c.pollFor(5 * time.Second)
		e.produce(0, 10, 5)
		c.pollMessages(0, 5)
		assert.Equal(e, numbers(10, 5), values(c.messages[0]))
		c.ack(0, 10)
		c.pollFor(2 * DefaultCommitInterval)
		assert.EqualValues(e, 11, e.committed(0))
	})
}
