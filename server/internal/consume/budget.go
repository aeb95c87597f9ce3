package consume

import (
	"sync/atomic"

	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// budget is the memory that all subscriptions of a server share (C7). It may be
// used concurrently.
type budget struct {
	limit      int64
	used       atomic.Int64
	partitions atomic.Int64
}

// pressure says whether the budget is exceeded, and what each partition may hold
// while it is: an equal share, so that it is always the largest that are paused.
func (b *budget) pressure() coordinator.MemoryPressure {
	if b.used.Load() <= b.limit {
		return coordinator.MemoryPressure{}
	}
	return coordinator.MemoryPressure{Over: true, FairShare: b.limit / max(b.partitions.Load(), 1)}
}

// account is one subscription's part of the budget. The subscription's loop owns it.
type account struct {
	budget     *budget
	used       int64
	partitions int64
}

// set books what the subscription holds now.
func (a *account) set(used int64, partitions int) {
	if used != a.used {
		a.budget.used.Add(used - a.used)
		a.used = used
	}
	if n := int64(partitions); n != a.partitions {
		a.budget.partitions.Add(n - a.partitions)
		a.partitions = n
	}
}
