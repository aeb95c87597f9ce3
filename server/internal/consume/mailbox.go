package consume

import (
	"sync"

	"github.com/messageproxy/messageproxy/server/internal/coordinator"
)

// mailbox hands events to a subscription's loop in batches. Posting never blocks;
// the senders bound what they post: a reader by its credits, a session by the
// partition windows.
type mailbox struct {
	signal chan struct{} // has a token when there may be something to take

	mu     sync.Mutex
	events []coordinator.Event
}

func newMailbox() *mailbox { return &mailbox{signal: make(chan struct{}, 1)} }

func (m *mailbox) post(e coordinator.Event) {
	m.mu.Lock()
	m.events = append(m.events, e)
	first := len(m.events) == 1
	m.mu.Unlock()
	if first {
		m.wake()
	}
}

func (m *mailbox) wake() {
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

// take returns what has gathered and keeps spare, which the caller has cleared, for
// what comes next.
func (m *mailbox) take(spare []coordinator.Event) []coordinator.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := m.events
	m.events = spare[:0]
	return events
}

// putBack puts events in front of those that have come since they were taken.
func (m *mailbox) putBack(events []coordinator.Event) {
	m.mu.Lock()
	m.events = append(events, m.events...)
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) isEmpty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events) == 0
}
