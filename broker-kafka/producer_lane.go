package kafka

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"

	"github.com/messageproxy/messageproxy/broker"
)

// lane is a partition that is produced to. While an answer of the partition's is
// overdue or lost, and so the client library can let go neither of the messages in
// question nor of any behind them, further messages are held here, where they can
// be failed at their deadline with certainty. They follow when the library is done
// with all that it has.
type lane struct {
	ids idPrefix // of its messages

	sent    atomic.Int64  // messages in the library, not yet answered
	blocked atomic.Bool   // messages are held
	doubts  atomic.Uint64 // what the ledger had counted when it was last asked about this partition

	// Guarded by the topic's mu.
	held    []*outgoing // in order; empty while not blocked
	cleared uint64      // doubts from before this time of the ledger's are resolved
}

func newLanes(topic topicID, n int32) []*lane {
	lanes := make([]*lane, n)
	for i := range lanes {
		lanes[i] = &lane{ids: newIDPrefix(topic, int32(i))}
	}
	return lanes
}

// load is what stickiness compares.
func (l *lane) load() int64 {
	if l.blocked.Load() {
		return math.MaxInt64
	}
	return l.sent.Load()
}

func (l *lane) isIdleOrBlocked() bool { return l.sent.Load() == 0 || l.blocked.Load() }

// lookForDoubtLocked blocks the lane if an answer was lost that messages in the
// library may be about.
func (t *producerTopic) lookForDoubtLocked(info *topicInfo, partition int32) {
	l, ledger := info.lanes[partition], info.session.ledger
	l.doubts.Store(ledger.doubts.Load())
	doubted, stalled := ledger.doubtedAt(info.id, t.name, partition)
	switch {
	case doubted <= l.cleared && !stalled:
	case l.sent.Load() > 0:
		l.blocked.Store(true)
	case len(l.held) == 0:
		l.cleared = ledger.now()
	}
}

// release sends what is held in lanes that the library is done with, and reports
// whether anything is still held or blocked.
func (t *producerTopic) release() (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info := t.opened.Load()
	if info == nil {
		return false // opening it again looks after them
	}
	for partition, l := range info.lanes {
		if !l.blocked.Load() {
			continue
		}
		if l.sent.Load() > 0 {
			more = true
			continue
		}
		l.cleared = info.session.ledger.now()
		for _, o := range l.held {
			t.count(l, 1)
			t.pass(info, o, int32(partition))
		}
		l.held = nil
		l.blocked.Store(false)
	}
	return more
}

// takeHeldLocked empties the lanes of a topic that moves: what they hold goes
// before what has been waiting, in the order in which it came, since messages
// without a key may all get to one partition now.
func (t *producerTopic) takeHeldLocked(info *topicInfo) {
	var held []*outgoing
	for _, l := range info.lanes {
		held = append(held, l.held...)
		l.held = nil
		l.blocked.Store(false)
	}
	slices.SortFunc(held, func(a, b *outgoing) int { return cmp.Compare(a.number, b.number) })
	t.waiting = slices.Concat(held, t.waiting)
}

// overdue removes the messages whose deadline is over, and returns them.
func overdue(from *[]*outgoing) (late []*outgoing) {
	*from = slices.DeleteFunc(*from, func(o *outgoing) bool {
		if o.Context.Err() == nil {
			return false
		}
		late = append(late, o)
		return true
	})
	return late
}

// expire fails those messages whose deadline is over and that the library doesn't
// have. cause is why they had to wait, or nil.
func (t *producerTopic) expire(cause *broker.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	late := overdue(&t.waiting)
	for _, l := range t.lanesLocked() {
		late = append(late, overdue(&l.held)...)
	}
	for _, o := range late {
		e := t.p.explain(o, o.Context.Err())
		if e.Code == broker.CodeUnavailable && cause != nil {
			e.Err = cause
		}
		t.p.fail(o, e)
	}
}
