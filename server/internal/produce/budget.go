package produce

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

var (
	errBudgetFull = errors.New("no bytes were free in time")
	errCutOff     = errors.New("the server waits no longer")
)

// budget shares the bytes that the producer may hold among streams. Whoever finds
// too few waits in line, and nobody passes: so a large message gets its bytes
// when those before it have been answered, and each stream, which waits with one
// message at a time, gets its turn.
type budget struct {
	limit int64

	mu       sync.Mutex
	bytes    int64
	messages int
	// waiters are *waiter, in line. Invariant: the first doesn't fit.
	waiters list.List
}

type waiter struct {
	bytes int64
	// granted is closed when the bytes are the waiter's.
	granted chan struct{}
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// clip is what a message of so many bytes takes: at most everything there is, so
// that one above the limit gets through alone.
func (b *budget) clip(bytes int64) int64 { return min(bytes, b.limit) }

// tryAcquire takes bytes for so many messages if they are free and nobody waits.
func (b *budget) tryAcquire(messages int, bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters.Len() > 0 || b.bytes+bytes > b.limit {
		return false
	}
	b.bytes += bytes
	b.messages += messages
	return true
}

// acquire takes the bytes of one message, which must be clipped, and waits for
// them: until deadline (errBudgetFull) or until cutOff is closed (errCutOff).
func (b *budget) acquire(bytes int64, deadline time.Time, cutOff <-chan struct{}) error {
	if b.tryAcquire(1, bytes) {
		return nil
	}
	place, w := b.standInLine(bytes)
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-timer.C:
		err = errBudgetFull
	case <-cutOff:
		err = errCutOff
	}
	if b.leaveLine(place, w) {
		return nil
	}
	return err
}

func (b *budget) standInLine(bytes int64) (*list.Element, *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiter{bytes: bytes, granted: make(chan struct{})}
	place := b.waiters.PushBack(w)
	b.grantLocked() // bytes may have been released since tryAcquire
	return place, w
}

// leaveLine gives up waiting and reports whether the bytes have been granted all
// the same.
func (b *budget) leaveLine(place *list.Element, w *waiter) (granted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted:
		return true
	default:
	}
	b.waiters.Remove(place)
	b.grantLocked() // those behind may fit
	return false
}

// release gives the bytes of one message back.
func (b *budget) release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= bytes
	b.messages--
	b.grantLocked()
}

func (b *budget) grantLocked() {
	for first := b.waiters.Front(); first != nil; first = b.waiters.Front() {
		w := first.Value.(*waiter)
		if b.bytes+w.bytes > b.limit {
			return
		}
		b.bytes += w.bytes
		b.messages++
		b.waiters.Remove(first)
		close(w.granted)
	}
}

func (b *budget) inUse() (messages int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages, b.bytes
}
