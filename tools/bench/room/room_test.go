package room_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/messageproxy/messageproxy/tools/bench/room"
)

func TestTakeWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(10)
		assert.True(t, r.Take(10))
		taken := false
		go func() { taken = r.Take(3) }()
		r.Give(2)
		synctest.Wait()
		assert.False(t, taken)
		r.Give(1)
		synctest.Wait()
		assert.True(t, taken)
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := room.New(0)
		ended := false
		go func() { ended = !r.Take(1) }()
		synctest.Wait()
		assert.False(t, ended)
		r.Close()
		synctest.Wait()
		assert.True(t, ended)
		r.Give(1)
		assert.False(t, r.Take(1), "closed for good")
	})
}
