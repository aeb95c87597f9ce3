// Package prefix turns the ACKs of single messages into the one position per
// partition that Kafka keeps: the longest prefix of delivered messages that are
// all ACKed.
//
// The prefix is one of delivery order, not of offset arithmetic. Offsets have
// gaps (compaction removes messages, transactions leave markers and aborted
// messages between them), so "the next message" is the next that was delivered.
package prefix

import (
	"fmt"
	"math/bits"
)

// Tracker follows the messages of one partition. It keeps a slot for every
// outstanding message (delivered, and not below the durable position), in
// delivery order, in a ring. Memory is bounded by the most messages that were
// outstanding at once.
//
// Invariants, with the ring read from its first slot:
//   - offsets ascend, and all are below end
//   - the first acked slots are ACKed, and the one after them is not
//   - durable <= Position() <= end
//
// A Tracker is not safe for concurrent use.
type Tracker struct {
	ring   []slot // its length is a power of two, or zero
	first  int    // index in ring of the oldest slot
	length int    // how many slots are in use
	acked  int    // how many of the oldest slots are ACKed without a gap
	// end is the offset after everything known of the partition: what is below it
	// was delivered, or isn't there to be delivered.
	end int64
	// durable is the position that was last said to be durable.
	durable int64
}

// slot holds an offset (never negative), or its complement once it is ACKed.
type slot int64

func (s slot) isAcked() bool { return s < 0 }

func (s slot) offset() int64 {
	if s < 0 {
		return int64(^s)
	}
	return int64(s)
}

const minSlots = 64

// New makes a tracker for a partition that is read from start on.
func New(start int64) *Tracker {
	return &Tracker{end: start, durable: start}
}

// Deliver notes that the message at offset was delivered. Offsets ascend, and
// are not below what Advance was told: anything else is a bug of the caller's
// and panics.
func (t *Tracker) Deliver(offset int64) {
	if offset < t.end {
		panic(fmt.Sprintf("prefix: offset %d delivered after everything below %d", offset, t.end))
	}
	if t.length == len(t.ring) {
		t.grow()
	}
	t.ring[t.index(t.length)] = slot(offset)
	t.length++
	t.end = offset + 1
}

// Advance notes that no message below offset is left to be delivered: what was
// there is a marker, was removed, or has expired. An offset that is behind is
// ignored.
func (t *Tracker) Advance(offset int64) {
	t.end = max(t.end, offset)
}

// Ack notes that the message at offset is done with. It answers false, and
// changes nothing, if that message isn't outstanding or is ACKed already. It
// takes constant time where offsets follow each other, and time logarithmic in
// the number of gaps elsewhere, plus constant time, amortized, to move the prefix.
func (t *Tracker) Ack(offset int64) bool {
	i, ok := t.find(offset)
	if !ok {
		return false
	}
	s := &t.ring[t.index(i)]
	if s.isAcked() {
		return false
	}
	*s = ^*s
	for t.acked < t.length && t.at(t.acked).isAcked() {
		t.acked++
	}
	return true
}

// Position is where reading would have to go on for nothing to be missed: the
// offset of the first message that isn't ACKed, or the end if all are.
func (t *Tracker) Position() int64 {
	if t.acked < t.length {
		return t.at(t.acked).offset()
	}
	return t.end
}

// Commit notes that a position is durable, and drops the slots below it.
func (t *Tracker) Commit(position int64) {
	if position > t.Position() {
		panic(fmt.Sprintf("prefix: position %d made durable, beyond %d", position, t.Position()))
	}
	t.durable = max(t.durable, position)
	for t.length > 0 && t.at(0).offset() < position {
		t.first = t.index(1)
		t.length--
		t.acked--
	}
	if t.length == 0 {
		t.release()
	}
}

// Durable is the position that was last said to be durable.
func (t *Tracker) Durable() int64 { return t.durable }

// Outstanding is how many messages were delivered at or above the durable
// position.
func (t *Tracker) Outstanding() int { return t.length }

// Held is how many messages would be outstanding if Position were durable.
func (t *Tracker) Held() int { return t.length - t.acked }

// find returns the place of offset among the slots. Were there no gaps, it would
// be offset's distance to the first slot; gaps only move it towards the first.
// So look there and search backwards in doubling steps, then halve between.
func (t *Tracker) find(offset int64) (int, bool) {
	if t.length == 0 || offset < t.at(0).offset() || offset >= t.end {
		return 0, false
	}
	high := t.length - 1 // the lowest place known to be at or above offset, or the last
	if distance := offset - t.at(0).offset(); distance < int64(high) {
		high = int(distance)
	}
	low := high // from here down: the highest place known to be at or below offset
	for step := 1; t.at(low).offset() > offset; step *= 2 {
		high = low
		low = max(0, low-step)
	}
	for low < high {
		middle := low + (high-low+1)/2
		if t.at(middle).offset() > offset {
			high = middle - 1
		} else {
			low = middle
		}
	}
	return low, t.at(low).offset() == offset
}

func (t *Tracker) at(i int) slot { return t.ring[t.index(i)] }

func (t *Tracker) index(i int) int { return (t.first + i) & (len(t.ring) - 1) }

func (t *Tracker) grow() {
	ring := make([]slot, max(minSlots, 1<<bits.Len(uint(len(t.ring)))))
	n := copy(ring, t.ring[t.first:])
	copy(ring[n:], t.ring[:t.first])
	t.ring, t.first = ring, 0
}

// release gives back the memory of an unusually large fetch once it is done with.
func (t *Tracker) release() {
	const keep = 16 << 10
	t.first = 0
	if len(t.ring) > keep {
		t.ring = nil
	}
}
