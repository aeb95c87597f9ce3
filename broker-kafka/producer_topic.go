package kafka

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
)

// lookAgainAfter is how old what is known of a topic must be for another look
// because of one message (for a partition that didn't exist, say).
const lookAgainAfter = time.Second

// lookAgainEvery is how old what is known of a topic may get: its partitions may
// be more by then.
const lookAgainEvery = 5 * time.Minute

// topicInfo is what is known of an open topic. It doesn't change.
type topicInfo struct {
	session    *session
	id         topicID
	partitions int32
	rules      topicRules
	asOf       time.Time
	lanes      []*lane // by partition; the session's, as long as the topic is in it

	confirmed atomic.Bool // the session is seen to write to the topic by id
}

// idConfirmed reports whether what the session stored in a topic of this name is
// certain to be in the topic with this id.
func (i *topicInfo) idConfirmed() bool {
	if i.confirmed.Load() {
		return true
	}
	if i.id == (topicID{}) || !i.session.ledger.writtenByID(i.id) {
		return false
	}
	i.confirmed.Store(true)
	return true
}

// producerTopic is a topic that is produced to. It is open, when messages go
// straight to their partition's lane, or closed, when they wait, in order, for the
// keeper to open it. The keeper opens it; a message's trouble closes it.
type producerTopic struct {
	name   string
	p      *producer
	sent   atomic.Int64              // messages in the library, not yet answered
	opened atomic.Pointer[topicInfo] // nil while the topic is closed

	mu      sync.Mutex
	waiting []*outgoing // in order; empty while the topic is open
	gone    bool        // the keeper has dropped this topic: ask it for another
	last    *topicInfo  // what it is, or was when it was open; written by the keeper's goroutine alone

	stickyMu sync.Mutex
	sticky   stickiness

	// Of the keeper's goroutine alone.
	missingSince time.Time
	created      time.Time
}

// accept takes a message, and reports false if the topic is gone.
func (t *producerTopic) accept(o *outgoing, now time.Time) bool {
	if info := t.opened.Load(); info != nil && info.refusal(o, now) == nil && info.isFresh(now) && t.sendNow(info, o) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false
	}
	info := t.opened.Load()
	if info == nil {
		t.waitLocked(o)
		return true
	}
	refusal := info.refusal(o, now)
	switch {
	case refusal != nil && now.Sub(info.asOf) < lookAgainAfter:
		t.p.fail(o, refusal)
	case refusal != nil || !info.isFresh(now):
		t.opened.Store(nil)
		t.waitLocked(o)
	default:
		t.sendLocked(info, o)
	}
	return true
}

// refusal says why the topic, by what is known of it, doesn't take the message, or
// nil.
func (i *topicInfo) refusal(o *outgoing, now time.Time) *broker.Error {
	if o.message.Partition >= i.partitions {
		return errNoSuchPartition(o.message.Topic, o.message.Partition, int(i.partitions))
	}
	return i.rules.check(o.message, now)
}

func (i *topicInfo) isFresh(now time.Time) bool { return now.Sub(i.asOf) < lookAgainEvery }

func (t *producerTopic) waitLocked(o *outgoing) {
	if t.p.keeper.ctx.Err() != nil {
		t.p.fail(o, broker.ErrClosed)
		return
	}
	t.waiting = append(t.waiting, o)
	if len(t.waiting) == 1 {
		t.p.keeper.want(t)
	}
}

// sendNow gives a message to the library, and reports false if that takes the
// lock: the topic was closed meanwhile, or its lane may be blocked. Counting comes
// before looking: so whoever closes or blocks, and then looks at the count, misses
// no message.
func (t *producerTopic) sendNow(info *topicInfo, o *outgoing) bool {
	partition := t.partitionOf(info, o)
	l := info.lanes[partition]
	t.count(l, 1)
	if t.opened.Load() != info || l.blocked.Load() || l.doubts.Load() != info.session.ledger.doubts.Load() {
		t.answered(info, partition)
		return false
	}
	t.pass(info, o, partition)
	return true
}

// sendLocked gives a message to the library, or holds it.
func (t *producerTopic) sendLocked(info *topicInfo, o *outgoing) {
	partition := t.partitionOf(info, o)
	t.lookForDoubtLocked(info, partition)
	l := info.lanes[partition]
	if l.blocked.Load() {
		l.held = append(l.held, o)
		t.p.keeper.tend(t)
		return
	}
	t.count(l, 1)
	t.pass(info, o, partition)
}

func (t *producerTopic) count(l *lane, n int64) {
	t.sent.Add(n)
	l.sent.Add(n)
}

func (t *producerTopic) pass(info *topicInfo, o *outgoing, partition int32) {
	o.info = info
	o.partition = partition
	o.since = info.session.ledger.now()
	info.session.cl.TryProduce(o, &o.record, t.p.answered)
}

// answered counts a message out of the library.
func (t *producerTopic) answered(info *topicInfo, partition int32) {
	l := info.lanes[partition]
	laneEmpty, topicEmpty := l.sent.Add(-1) == 0, t.sent.Add(-1) == 0
	if topicEmpty && t.opened.Load() != info || laneEmpty && l.blocked.Load() {
		t.p.keeper.wake()
	}
}

// open opens the topic and sends what has been waiting.
func (t *producerTopic) open(info *topicInfo, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.last; last != nil && last.session != info.session {
		t.takeHeldLocked(last)
	}
	t.last = info
	for _, o := range t.waiting {
		if refusal := info.refusal(o, now); refusal != nil {
			t.p.fail(o, refusal)
		} else {
			t.sendLocked(info, o)
		}
	}
	t.waiting = nil
	t.opened.Store(info)
	t.p.keeper.tend(t) // what lanes may still hold
}

func (t *producerTopic) lanesLocked() []*lane {
	if t.last == nil {
		return nil
	}
	return t.last.lanes
}

// close has the keeper look at the topic again, if it is still open with this
// info.
func (t *producerTopic) close(info *topicInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opened.CompareAndSwap(info, nil) {
		t.p.keeper.want(t)
	}
}

// failed looks at why the library failed a message: what is known of the topic
// may be out of date, and the session at its end.
func (t *producerTopic) failed(info *topicInfo, err error) {
	e, isKafkas := errors.AsType[*kerr.Error](err)
	if !isKafkas {
		return
	}
	switch verdicts[e].code {
	case broker.CodeTopicNotFound:
		t.close(info)
	case broker.CodeMessageTooLarge, broker.CodeInvalidArgument:
		if time.Since(info.asOf) >= lookAgainAfter {
			t.close(info)
		}
	default:
		t.p.keeper.inspect(info.session)
	}
}

// drop fails all waiting messages and ends the topic.
func (t *producerTopic) drop(err *broker.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		t.takeHeldLocked(t.last)
	}
	for _, o := range t.waiting {
		t.p.fail(o, err)
	}
	t.waiting = nil
	t.gone = true
	t.p.keeper.topics.Delete(t.name)
}
