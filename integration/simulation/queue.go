//go:build synctests

package simulation

import (
	"context"
	"iter"
	"sync"
)

// queue hands values from the plan's goroutine, which must not wait, to another.
type queue[T any] struct {
	signal chan struct{}

	mu     sync.Mutex
	values []T
	closed bool
}

func newQueue[T any]() *queue[T] { return &queue[T]{signal: make(chan struct{}, 1)} }

func (q *queue[T]) put(value T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.values = append(q.values, value)
		q.wakeLocked()
	}
}

// close ends all when it has returned what is queued. It may be called twice.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wakeLocked()
}

func (q *queue[T]) wakeLocked() {
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

// all returns what comes until the queue is closed and empty, or ctx ends.
func (q *queue[T]) all(ctx context.Context) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			values, closed := q.take()
			for _, value := range values {
				if ctx.Err() != nil || !yield(value) {
					return
				}
			}
			if closed {
				return
			}
			select {
			case <-q.signal:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (q *queue[T]) take() (values []T, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	values, q.values = q.values, nil
	return values, q.closed
}
