package messageproxy

import "context"

// pending is a message that the client has taken over to produce. It belongs to
// its producer and is guarded by the producer's mu, but for what is said below.
type pending struct {
	// encoded is what goes on the wire, but for the sequence, which is that of the
	// stream that it was given to. While a frame with it is being sent, both belong to
	// the writer.
	encoded  []byte
	sequence uint64
	size     int
	ctx      context.Context // bounds the message's life; never nil

	// callback, of ProduceAsync, or answeredc, of Produce, tells the caller. The
	// receipt and err may be read by whoever was told.
	callback  func(Receipt, error)
	answeredc chan struct{}
	receipt   Receipt
	err       error
	group     *flushGroup

	// onWire: it was given to a stream and may have reached the server.
	onWire bool
	// answered: the outcome is decided, and told or about to be.
	answered bool
	// told: the caller knows the outcome; its callback has returned.
	told bool
	// off: nothing will come of it any more from any stream. Its place is free when
	// it is off and told.
	off bool

	prev, next *pending // in a pendingList
}

func newPending(ctx context.Context, m *Message, callback func(Receipt, error)) *pending {
	p := &pending{encoded: m.encode(), size: m.size(), ctx: ctx, callback: callback}
	if callback == nil {
		p.answeredc = make(chan struct{})
	}
	return p
}

// isQueued reports whether it is in the producer's queue, or was.
func (p *pending) isQueued() bool { return p.group != nil }

// pendingList is a doubly linked list, so that a message whose context ends
// leaves the middle of a long queue at no cost. The zero value is empty.
type pendingList struct {
	first, last *pending
}

func (l *pendingList) pushBack(p *pending) {
	p.prev, p.next = l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

func (l *pendingList) pushFront(p *pending) {
	p.prev, p.next = nil, l.first
	if l.first == nil {
		l.last = p
	} else {
		l.first.prev = p
	}
	l.first = p
}

func (l *pendingList) remove(p *pending) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
