package messageproxy

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is exponential back-off with full jitter: each wait is uniform between
// zero and a limit that doubles from min to max. Source: Marc Brooker,
// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. The zero value
// with min and max set is ready to use.
type backoff struct {
	min, max time.Duration
	limit    time.Duration
}

// next returns how long to wait now.
func (b *backoff) next() time.Duration {
	b.limit = min(max(2*b.limit, b.min), b.max)
	return rand.N(b.limit + 1)
}

// reset makes the next wait a short one again.
func (b *backoff) reset() { b.limit = 0 }

// sleep waits for d, or until ctx or any of the channels ends. It reports whether
// d is over.
func sleep(ctx context.Context, d time.Duration, end <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-end:
	}
	return false
}
