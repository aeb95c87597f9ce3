package coordinator

import (
	"slices"

	"github.com/messageproxy/messageproxy/broker"
)

// backlog holds the messages of one partition in delivery order: first those that
// were handed to a client, then those that wait. A message that was ACKed leaves a
// hole until everything before it is ACKed too; the broker's partition window
// bounds how far the holes can reach.
//
// Messages are numbered in delivery order. Numbers are never used twice, so that a
// span of numbers stays valid while the partition's holder stays the same.
type backlog struct {
	entries []entry // entries[head:] are in use
	head    int

	first uint64 // number of entries[head]; Invariant: first <= next
	next  uint64 // number of the first message that waits

	inFlight      int   // handed out and not ACKed; Invariant: <= next-first
	bytes         int64 // of all messages that are not ACKed
	inFlightBytes int64 // of those in flight; Invariant: <= bytes
	expectedAck   uint64

	// from is the position of the first message ever pushed, to is one more than that of the
	// last one ever handed out.
	from, to uint64
}

// keptEntries is how many entries an idle partition keeps room for.
const keptEntries = 256

// entry is one message. message is nil once it is ACKed.
type entry struct {
	message  *broker.Message
	position uint64
	size     int64
	attempts uint32
}

func (b *backlog) at(number uint64) *entry { return &b.entries[b.head+int(number-b.first)] }

// end is the number of the next message to be pushed.
func (b *backlog) end() uint64 { return b.first + uint64(len(b.entries)-b.head) }

// waiting is how many messages are not handed out.
func (b *backlog) waiting() int { return int(b.end() - b.next) }

// held is how many messages are not ACKed.
func (b *backlog) held() int { return b.inFlight + b.waiting() }

// push appends messages. It keeps pointers into the slice.
func (b *backlog) push(messages []broker.Message) {
	if !b.hasRoom(len(messages)) {
		b.makeRoom(len(messages))
	}
	if b.end() == 0 {
		b.from = messages[0].Position
	}
	for i := range messages {
		m := &messages[i]
		size := int64(m.Size())
		b.entries = append(b.entries, entry{message: m, position: m.Position, size: size})
		b.bytes += size
	}
}

func (b *backlog) hasRoom(n int) bool { return len(b.entries)+n <= cap(b.entries) }

// makeRoom makes room for n more entries. Entries move to the front only if that
// leaves as much free as is in use, so that pushing costs amortized constant time.
func (b *backlog) makeRoom(n int) {
	inUse := b.entries[b.head:]
	needed := len(inUse) + n
	if 2*needed <= cap(b.entries) && cap(b.entries) <= max(8*needed, keptEntries) {
		copy(b.entries, inUse)
		clear(b.entries[len(inUse):])
		b.entries = b.entries[:len(inUse)]
	} else {
		room := 2 * needed
		if len(inUse) == 0 {
			room = n // whoever keeps up is done with it before more comes
		}
		b.entries = append(make([]entry, 0, room), inUse...)
	}
	b.head = 0
}

// take hands out up to maxMessages waiting messages of up to maxBytes together; if
// evenTooLarge, the first one whatever its size.
func (b *backlog) take(maxMessages int, maxBytes int64, evenTooLarge bool) (deliveries []Delivery, bytes int64) {
	n, bytes := b.fitting(maxMessages, maxBytes, evenTooLarge)
	if n == 0 {
		return nil, 0
	}
	deliveries = make([]Delivery, n)
	first := b.head + int(b.next-b.first)
	for i := range deliveries {
		e := &b.entries[first+i]
		e.attempts++
		deliveries[i] = Delivery{Message: e.message, Attempt: e.attempts}
	}
	b.next += uint64(n)
	b.to = max(b.to, b.at(b.next-1).position+1)
	b.inFlight += n
	b.inFlightBytes += bytes
	return deliveries, bytes
}

// fitting is how many messages take hands out, and their size. With maxBytes used
// up, not even an empty message fits.
func (b *backlog) fitting(maxMessages int, maxBytes int64, evenTooLarge bool) (n int, bytes int64) {
	waiting := b.entries[b.head+int(b.next-b.first):]
	waiting = waiting[:min(maxMessages, len(waiting))]
	for i := range waiting {
		size := waiting[i].size
		fits := bytes < maxBytes && bytes+size <= maxBytes
		if !fits && !(evenTooLarge && i == 0) {
			break
		}
		n++
		bytes += size
	}
	return n, bytes
}

// ack removes the message at a position from those in flight. It returns its size,
// and false if no message in flight has that position.
func (b *backlog) ack(position uint64) (size int64, ok bool) {
	number, ok := b.find(position)
	if !ok {
		return 0, false
	}
	e := b.at(number)
	if e.message == nil {
		return 0, false
	}
	size = e.size
	e.message = nil
	b.inFlight--
	b.bytes -= size
	b.inFlightBytes -= size
	b.expectedAck = number + 1
	b.dropAckedPrefix()
	return size, true
}

// find looks for a position among what was handed out. Clients mostly ACK in
// order, so the neighbour of the last one found is tried first.
func (b *backlog) find(position uint64) (number uint64, ok bool) {
	if b.expectedAck >= b.first && b.expectedAck < b.next && b.at(b.expectedAck).position == position {
		return b.expectedAck, true
	}
	handedOut := b.entries[b.head : b.head+int(b.next-b.first)]
	if len(handedOut) == 0 || position < handedOut[0].position {
		return 0, false
	}
	// Positions ascend, so it is no farther from the first than its position is, and
	// without gaps exactly there.
	if distance := position - handedOut[0].position; distance < uint64(len(handedOut)) {
		if handedOut[distance].position == position {
			return b.first + distance, true
		}
		handedOut = handedOut[:distance]
	}
	i, ok := slices.BinarySearchFunc(handedOut, position, func(e entry, p uint64) int {
		switch {
		case e.position < p:
			return -1
		case e.position > p:
			return 1
		}
		return 0
	})
	return b.first + uint64(i), ok
}

func (b *backlog) dropAckedPrefix() {
	for b.first < b.next && b.at(b.first).message == nil {
		b.first++
		b.head++
	}
	if b.head == len(b.entries) {
		b.empty()
	}
}

// empty is for when no entry is in use.
func (b *backlog) empty() {
	b.entries, b.head = b.entries[:0], 0
	if cap(b.entries) > keptEntries {
		b.entries = nil
	}
}

// reclaim makes everything in flight wait again, in order and before what waits.
func (b *backlog) reclaim() {
	kept := b.head + int(b.next-b.first)
	for i := kept - 1; i >= b.head; i-- { // unACKed entries move up against the waiting ones
		if b.entries[i].message != nil {
			kept--
			b.entries[kept] = b.entries[i]
		}
	}
	clear(b.entries[b.head:kept])
	b.first += uint64(kept - b.head)
	b.head = kept
	b.next = b.first
	b.inFlight, b.inFlightBytes = 0, 0
}

// dropWaiting forgets the messages that wait.
func (b *backlog) dropWaiting() {
	handedOut := b.head + int(b.next-b.first)
	clear(b.entries[handedOut:])
	b.entries = b.entries[:handedOut]
	b.bytes = b.inFlightBytes
}

// isUnacked reports whether the message with that number is in flight.
func (b *backlog) isUnacked(number uint64) bool {
	return number >= b.first && number < b.next && b.at(number).message != nil
}
