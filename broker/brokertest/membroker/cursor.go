package membroker

import (
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// cursor is what a subscription knows of a partition: its durable ACKs, and the
// state of the consumer that has the partition. It is guarded by Broker.mu.
type cursor struct {
	subscription *subscription
	partition    *partition

	// Durable: every message before base is ACKed, and so are those at acked, which
	// are not before base. Until positioned, base means nothing.
	positioned bool
	base       uint64
	acked      map[uint64]struct{}

	owner  *Consumer // who has it now
	target *Consumer // who should have it

	assignment
}

// assignment is what goes with the owner.
type assignment struct {
	revoking bool
	released bool      // Release was called
	deadline time.Time // of the handover, if revoking
	paused   bool
	full     bool   // the window was reached; goes on when half is left
	next     uint64 // the first position not yet delivered
	// delivered are the messages that were delivered, by ascending position, from
	// the first that is not durably ACKed.
	delivered window
	pending   []int // in delivered: ACKed, not yet durable
	failed    bool  // ACKs could not be made durable
}

func newCursor(s *subscription, p *partition) *cursor {
	return &cursor{subscription: s, partition: p, acked: map[uint64]struct{}{}}
}

// takeLocked makes c the owner.
func (cur *cursor) takeLocked(c *Consumer) {
	if !cur.positioned {
		later := int(cur.partition.name.Partition) >= cur.subscription.seen[cur.partition.name.Topic]
		cur.positioned = true
		cur.base = cur.partition.start
		if c.opts.Start == broker.StartLatest && !later {
			cur.base = cur.partition.end
		}
	}
	cur.owner = c
	cur.assignment = assignment{next: cur.base}
}

// dropLocked takes the partition from its owner, with whatever isn't durable.
func (cur *cursor) dropLocked() {
	cur.owner = nil
	cur.assignment = assignment{}
}

// forgetLocked ends the cursor: its topic is gone.
func (cur *cursor) forgetLocked() {
	s := cur.subscription
	if cur.owner != nil {
		cur.owner.loseLocked(cur)
	}
	delete(s.cursors, cur.partition.name)
	// Created again, all of its partitions count as added later.
	s.seen[cur.partition.name.Topic] = 0
	cur.partition.cursors = slices.DeleteFunc(cur.partition.cursors, func(other *cursor) bool { return other == cur })
}

// outstanding is how many messages are delivered and not durably ACKed.
func (cur *cursor) outstanding() int {
	n := cur.delivered.len()
	if cur.subscription.b.opts.PrefixAcks {
		return n
	}
	return n - cur.delivered.durable
}

// fetchLocked takes the next messages from the log, preceded by the news of those
// that have expired.
func (cur *cursor) fetchLocked(events broker.Events) broker.Events {
	room := cur.roomLocked()
	if room == 0 || cur.paused || cur.revoking {
		return events
	}
	p := cur.partition
	if cur.next < p.start {
		if missing := p.start - cur.next - cur.ackedBetween(cur.next, p.start); missing > 0 {
			events = append(events, broker.EventExpired{Partition: p.name, Count: missing})
		}
		cur.next = p.start
	}
	if messages := cur.copyLocked(room); len(messages) > 0 {
		events = append(events, broker.EventMessages{Partition: p.name, Messages: messages})
	}
	return events
}

// roomLocked is how many messages may be fetched now.
func (cur *cursor) roomLocked() int {
	outstanding, size := cur.outstanding(), cur.owner.opts.PartitionWindow
	if cur.full {
		cur.full = outstanding > size/2
	} else {
		cur.full = outstanding >= size
	}
	fetch := cur.subscription.b.opts.FetchMessages
	switch {
	case cur.full:
		return 0
	case cur.subscription.b.opts.OvershootWindow:
		return fetch
	}
	return min(fetch, size-outstanding)
}

// copyLocked returns up to limit messages from cur.next on, without those that
// are ACKed, as the caller's own copy.
func (cur *cursor) copyLocked(limit int) []broker.Message {
	log := cur.partition.messages
	begin := cur.partition.index(cur.next)
	end, count, size, headers := begin, 0, 0, 0
	for ; end < len(log) && count < limit; end++ {
		m := &log[end]
		if count > 0 && size+m.Size() > cur.subscription.b.opts.FetchBytes {
			break
		}
		if !cur.isAcked(m.Position) {
			count++
			size += m.Size()
			headers += len(m.Headers)
		}
	}
	messages := make([]broker.Message, 0, count)
	copies := newCopier(size, headers)
	for i := begin; i < end; i++ {
		m := log[i]
		if cur.isAcked(m.Position) {
			continue
		}
		m.Key, m.Value, m.Headers = copies.bytes(m.Key), copies.bytes(m.Value), copies.headers(m.Headers)
		messages = append(messages, m)
		cur.delivered.push(m.Position)
	}
	if end > begin {
		cur.next = log[end-1].Position + 1
	}
	return messages
}

func (cur *cursor) isAcked(position uint64) bool {
	if position < cur.base {
		return true
	}
	if len(cur.acked) == 0 {
		return false
	}
	_, ok := cur.acked[position]
	return ok
}

func (cur *cursor) ackedBetween(from, to uint64) uint64 {
	n := uint64(0)
	for position := range cur.acked {
		if position >= from && position < to {
			n++
		}
	}
	return n
}

// ackLocked notes an ACK and reports whether it was of an outstanding message.
func (cur *cursor) ackLocked(position uint64) bool {
	i, ok := cur.delivered.find(position)
	if !ok || cur.delivered.at(i).state != waiting {
		return false
	}
	cur.delivered.at(i).state = acked
	cur.pending = append(cur.pending, i)
	return true
}

// persistLocked makes the ACKs noted so far durable.
func (cur *cursor) persistLocked() {
	w := &cur.delivered
	for _, i := range cur.pending {
		w.at(i).state = durable
		w.durable++
	}
	base := cur.base
	for w.len() > 0 && w.at(w.first).state == durable {
		cur.base = w.at(w.first).position + 1
		w.pop()
	}
	if !cur.subscription.b.opts.PrefixAcks {
		for _, i := range cur.pending {
			if i >= w.first {
				cur.acked[w.at(i).position] = struct{}{}
			}
		}
	}
	if cur.base != base && len(cur.acked) > 0 {
		maps.DeleteFunc(cur.acked, func(position uint64, _ struct{}) bool { return position < cur.base })
	}
	cur.pending = cur.pending[:0]
	cur.failed = false
	if cur.base != base && cur.subscription.b.opts.DiscardAcked {
		cur.partition.discardAcked()
	}
}

// window is a queue of deliveries. Their indexes never change: the queue's head
// is at first.
type window struct {
	entries []delivery
	first   int // the index of the head
	head    int // where the head is in entries
	durable int // how many entries are durable
}

type delivery struct {
	position uint64
	state    deliveryState
}

type deliveryState uint8

const (
	waiting deliveryState = iota // for its ACK
	acked                        // and not yet durable
	durable
)

func (w *window) len() int           { return len(w.entries) - w.head }
func (w *window) at(i int) *delivery { return &w.entries[w.head+i-w.first] }

func (w *window) push(position uint64) {
	if w.head > 0 && len(w.entries) == cap(w.entries) && w.head >= len(w.entries)/2 {
		w.entries = w.entries[:copy(w.entries, w.entries[w.head:])]
		w.head = 0
	}
	w.entries = append(w.entries, delivery{position: position})
}

func (w *window) pop() {
	if w.entries[w.head].state == durable {
		w.durable--
	}
	w.head++
	w.first++
	if w.head == len(w.entries) {
		w.entries, w.head = w.entries[:0], 0
	}
}

// find returns the index of a position.
func (w *window) find(position uint64) (int, bool) {
	live := w.entries[w.head:]
	i := sort.Search(len(live), func(i int) bool { return live[i].position >= position })
	if i == len(live) || live[i].position != position {
		return 0, false
	}
	return w.first + i, true
}
