package consume

import (
	"sync/atomic"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// messageOverhead is about what keeping track of a message takes. It counts, so that
// messages without a payload can't exhaust the memory.
const messageOverhead = 320

// budget is the memory that all subscriptions of a server share (C7). It may be
// used concurrently.
//
// From half of the limit on, each partition may hold an equal share of that half: so
// it is always the largest that are paused, and who holds little goes on. That is not
// enough if there are many partitions and a single fetch is more than a share. So at
// the limit everything is paused.
type budget struct {
	limit      int64
	used       atomic.Int64
	partitions atomic.Int64
	full       atomic.Bool
	// onFull is called when the budget is used up, and when there is room again, with
	// no lock held.
	onFull func()
}

// pressure says whether the budget is being exceeded, and what each partition may
// hold while it is.
func (b *budget) pressure() coordinator.MemoryPressure {
	full := b.full.Load()
	if !full && b.used.Load() <= b.limit/2 {
		return coordinator.MemoryPressure{}
	}
	return coordinator.MemoryPressure{Over: true, FairShare: b.limit / 2 / max(b.partitions.Load(), 1), Full: full}
}

// add books bytes, or, if they are negative, gives them back.
func (b *budget) add(bytes int64) {
	b.used.Add(bytes)
	changed := false
	for { // until it is right, for others add too: whoever is last sees what all have done
		full, used := b.full.Load(), b.used.Load()
		becomes := used > b.limit || full && used > b.limit-b.limit/8
		if becomes == full {
			break
		}
		changed = b.full.CompareAndSwap(full, becomes) || changed
	}
	if changed {
		b.onFull()
	}
}

// account is one subscription's part of the budget. The subscription's loop owns it.
type account struct {
	budget     *budget
	used       int64
	partitions int64
}

// set books what the subscription holds now, of which so many bytes were booked when
// they were posted to the loop.
func (a *account) set(used int64, partitions int, posted int64) {
	if change := used - a.used - posted; change != 0 {
		a.budget.add(change)
	}
	a.used = used
	if n := int64(partitions); n != a.partitions {
		a.budget.partitions.Add(n - a.partitions)
		a.partitions = n
	}
}

// bytesOf is what the messages among the events take.
func bytesOf(events broker.Events) (bytes int64) {
	for _, event := range events {
		if e, ok := event.(broker.EventMessages); ok {
			bytes += messageOverhead * int64(len(e.Messages))
			for i := range e.Messages {
				bytes += int64(e.Messages[i].Size())
			}
		}
	}
	return bytes
}
