// Package room bounds what is outstanding.
package room

import "sync"

// Room has a number of places. Its methods may be called concurrently, Take by one
// goroutine at a time.
type Room struct {
	mu     sync.Mutex
	free   int
	closed bool
	change sync.Cond
}

// New returns a Room with so many places, all of them free.
func New(places int) *Room {
	r := &Room{free: places}
	r.change.L = &r.mu
	return r
}

// Take waits until n places are free and takes them. It reports false, and takes
// nothing, when the room is closed.
func (r *Room) Take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.free < n && !r.closed {
		r.change.Wait()
	}
	if r.closed {
		return false
	}
	r.free -= n
	return true
}

// Give frees n places.
func (r *Room) Give(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
	r.change.Signal()
}

// Close ends all waiting, now and later.
func (r *Room) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.change.Signal()
}
