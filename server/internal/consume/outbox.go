package consume

import (
	"sync"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// outbox holds what a client is to be told, until its writer takes it. The loop
// puts, the writer takes; neither waits for the other. The client's window bounds
// the messages in it.
type outbox struct {
	signal chan struct{} // has a token when there may be something to take

	mu    sync.Mutex
	items []coordinator.Effect
	ended bool
	err   *messageproxyv1.Error // how it ended
}

func newOutbox() *outbox { return &outbox{signal: make(chan struct{}, 1)} }

func (o *outbox) put(item coordinator.Effect) {
	o.mu.Lock()
	if !o.mergeLocked(item) {
		o.items = append(o.items, item)
	}
	o.mu.Unlock()
	o.wake()
}

// mergeLocked keeps what a client says wrongly, or doesn't read, from filling the
// memory: notices about ACKs that don't count are put together, an error that is
// still to be sent isn't repeated, and an assignment takes the place of one that
// nothing has followed, for it lists all partitions.
func (o *outbox) mergeLocked(item coordinator.Effect) bool {
	if len(o.items) == 0 {
		return false
	}
	last := &o.items[len(o.items)-1]
	switch item := item.(type) {
	case coordinator.NotHeld:
		earlier, ok := (*last).(coordinator.NotHeld)
		if ok && len(o.items) > maxPendingNotices {
			*last = earlier.Merge(item)
			return true
		}
	case coordinator.Assignment:
		if _, ok := (*last).(coordinator.Assignment); ok {
			*last = item
			return true
		}
	case coordinator.Trouble:
		earlier, ok := (*last).(coordinator.Trouble)
		return ok && earlier.Err == item.Err
	}
	return false
}

// maxPendingNotices is how many items may wait before notices are put together.
const maxPendingNotices = 16

// end drops the messages that weren't sent: they go to others.
func (o *outbox) end(err *messageproxyv1.Error) {
	o.mu.Lock()
	o.ended, o.err = true, err
	kept := o.items[:0]
	for _, item := range o.items {
		if _, ok := item.(coordinator.Deliver); !ok {
			kept = append(kept, item)
		}
	}
	clear(o.items[len(kept):])
	o.items = kept
	o.mu.Unlock()
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// take returns what there is, and whether that is all there will ever be. It keeps
// spare, which the caller has cleared, for what comes next.
func (o *outbox) take(spare []coordinator.Effect) (items []coordinator.Effect, ended bool, err *messageproxyv1.Error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	items = o.items
	o.items = spare[:0]
	return items, o.ended, o.err
}

func (o *outbox) isEnded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}
