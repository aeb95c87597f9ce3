package messageproxy

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func (w *waiter) admitted() bool {
	select {
	case <-w.ready:
		return true
	default:
		return false
	}
}

func TestRoomAdmitsInOrder(t *testing.T) {
	r := &room{admitted: func(*waiter) {}, maxMessages: 2, maxBytes: 10}
	assert.Nil(t, r.take(&pending{size: 4}))
	assert.Nil(t, r.take(&pending{size: 6}))
	var order []*waiter
	r.admitted = func(w *waiter) { order = append(order, w) }
	first, second := r.take(&pending{size: 7}), r.take(&pending{size: 1})
	r.give(4)
	assert.False(t, first.admitted(), "7 and 6 bytes are too many")
	assert.False(t, second.admitted(), "it would fit, but comes second")
	r.give(6)
	assert.True(t, first.admitted())
	assert.True(t, second.admitted())
	assert.Equal(t, []*waiter{first, second}, order)
	assert.Equal(t, 2, r.messages)
	assert.Equal(t, 8, r.bytes)
}

func TestRoomForgetsWhoStopsWaiting(t *testing.T) {
	r := &room{admitted: func(*waiter) {}, maxMessages: 2, maxBytes: 10}
	assert.Nil(t, r.take(&pending{size: 6}))
	large, small := r.take(&pending{size: 7}), r.take(&pending{size: 1})
	r.cancel(large)
	assert.True(t, small.admitted(), "who waited behind goes")
	third := r.take(&pending{size: 1})
	r.give(6)
	assert.True(t, third.admitted())
	r.give(1)
	r.give(1)
	assert.Zero(t, r.messages)
	assert.Zero(t, r.bytes)
}

func TestRoomTakesBackThePlaceOfWhoStopsTooLate(t *testing.T) {
	r := &room{admitted: func(*waiter) {}, maxMessages: 1, maxBytes: 10}
	assert.Nil(t, r.take(&pending{size: 1}))
	w := r.take(&pending{size: 2})
	r.give(1)
	assert.True(t, w.admitted())
	r.cancel(w)
	assert.Zero(t, r.messages)
	assert.Zero(t, r.bytes)
}

func TestRoomLetsALargeOneInAlone(t *testing.T) {
	r := &room{admitted: func(*waiter) {}, maxMessages: 2, maxBytes: 10}
	assert.Nil(t, r.take(&pending{size: 100}))
	assert.NotNil(t, r.take(&pending{size: 1}))
}
