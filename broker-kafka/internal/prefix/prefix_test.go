package prefix_test

import (
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func deliver(t *prefix.Tracker, offsets ...int64) {
	for _, offset := range offsets {
		t.Deliver(offset)
	}
}

func TestPositionIsTheFirstUnackedMessage(t *testing.T) {
	tracker := prefix.New(10)
	assert.EqualValues(t, 10, tracker.Position())
	deliver(tracker, 10, 11, 12)
	assert.True(t, tracker.Ack(11))
	assert.EqualValues(t, 10, tracker.Position(), "10 is not ACKed")
	assert.True(t, tracker.Ack(10))
	assert.EqualValues(t, 12, tracker.Position())
	assert.True(t, tracker.Ack(12))
	assert.EqualValues(t, 13, tracker.Position())
}

func TestGapsBetweenOffsetsDoNotHoldThePositionBack(t *testing.T) {
	tracker := prefix.New(0)
	deliver(tracker, 3, 7, 1_000_000)
	assert.True(t, tracker.Ack(3))
	assert.EqualValues(t, 7, tracker.Position())
	assert.True(t, tracker.Ack(7))
	assert.EqualValues(t, 1_000_000, tracker.Position())
	assert.True(t, tracker.Ack(1_000_000))
	assert.EqualValues(t, 1_000_001, tracker.Position())
}

func TestAdvanceCarriesThePositionOverWhatIsNeverDelivered(t *testing.T) {
	tracker := prefix.New(0)
	deliver(tracker, 0, 1)
	tracker.Advance(5) // markers of transactions
	assert.EqualValues(t, 0, tracker.Position())
	tracker.Ack(0)
	tracker.Ack(1)
	assert.EqualValues(t, 5, tracker.Position())
	tracker.Advance(4)
	assert.EqualValues(t, 5, tracker.Position(), "never back")
	tracker.Advance(9)
	assert.EqualValues(t, 9, tracker.Position())
}

func TestAckOfWhatIsNotOutstandingChangesNothing(t *testing.T) {
	tracker := prefix.New(5)
	assert.False(t, tracker.Ack(5), "nothing delivered")
	deliver(tracker, 5, 6, 9)
	for _, offset := range []int64{-1, 0, 4, 7, 8, 10, 1 << 62} {
		assert.False(t, tracker.Ack(offset), offset)
	}
	assert.True(t, tracker.Ack(5))
	assert.False(t, tracker.Ack(5), "twice")
	tracker.Commit(6)
	assert.False(t, tracker.Ack(5), "durable")
	assert.EqualValues(t, 6, tracker.Position())
}

func TestOutstandingCountsEverythingNotDurable(t *testing.T) {
	tracker := prefix.New(0)
	deliver(tracker, 0, 1, 2, 3)
	tracker.Ack(0)
	tracker.Ack(1)
	tracker.Ack(3)
	assert.Equal(t, 4, tracker.Outstanding(), "nothing is durable")
	assert.Equal(t, 2, tracker.Held(), "2 and 3, ACKed behind it")
	tracker.Commit(tracker.Position())
	assert.Equal(t, 2, tracker.Outstanding())
	assert.EqualValues(t, 2, tracker.Durable())
	tracker.Commit(1)
	assert.EqualValues(t, 2, tracker.Durable(), "an older commit takes nothing back")
}

func TestMemoryIsBoundedByTheWindow(t *testing.T) {
	tracker := prefix.New(0)
	allocs := testing.AllocsPerRun(10_000, func() {
		next := tracker.Position()
		for i := range int64(50) {
			tracker.Deliver(next + i)
		}
		for i := range int64(50) {
			require.True(t, tracker.Ack(next+i))
		}
		tracker.Commit(tracker.Position())
	})
	assert.Zero(t, allocs)
}

func TestMisuseIsReported(t *testing.T) {
	tracker := prefix.New(10)
	assert.Panics(t, func() { tracker.Deliver(9) })
	tracker.Deliver(10)
	assert.Panics(t, func() { tracker.Deliver(10) })
	assert.Panics(t, func() { tracker.Commit(11) })
}
