package messageproxy

import "container/list"

// room bounds what is outstanding, by number and bytes, and lets those who wait
// for a place in, in the order in which they came. It has no lock of its own: its
// owner's guards it.
type room struct {
	maxMessages, maxBytes int
	// admitted is called when a waiter has got its place, in the order of the waiters.
	admitted        func(*waiter)
	messages, bytes int
	waiters         list.List // of *waiter
}

// waiter waits for a place.
type waiter struct {
	message *pending
	// ready is closed once the place is taken for the waiter.
	ready chan struct{}
	entry *list.Element // nil once the place is taken
}

func (r *room) fits(size int) bool {
	return r.messages == 0 || (r.messages < r.maxMessages && r.bytes+size <= r.maxBytes)
}

// take takes a place for a message and returns nil, or returns the waiter of the place.
func (r *room) take(m *pending) *waiter {
	if r.waiters.Len() == 0 && r.fits(m.size) {
		r.messages++
		r.bytes += m.size
		return nil
	}
	w := &waiter{message: m, ready: make(chan struct{})}
	w.entry = r.waiters.PushBack(w)
	return w
}

// give gives a place back.
func (r *room) give(size int) {
	r.messages--
	r.bytes -= size
	r.admit()
}

// cancel ends w's wait; if its place was taken meanwhile, it is given back.
func (r *room) cancel(w *waiter) {
	if w.entry == nil {
		r.give(w.message.size)
		return
	}
	r.waiters.Remove(w.entry)
	r.admit() // w may have been too large where the next ones fit
}

func (r *room) admit() {
	for front := r.waiters.Front(); front != nil; front = r.waiters.Front() {
		w := front.Value.(*waiter)
		if !r.fits(w.message.size) {
			return
		}
		r.waiters.Remove(front)
		w.entry = nil
		r.messages++
		r.bytes += w.message.size
		r.admitted(w)
		close(w.ready)
	}
}
