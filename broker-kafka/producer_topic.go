package kafka

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kerr"
)

// lookAgainAfter is how old what is known of a topic must be for another look at
// the request of one message (for a partition that didn't exist, say).
const lookAgainAfter = time.Second

// topicInfo is what is known of an open topic. It doesn't change.
type topicInfo struct {
	session    *session
	id         topicID
	partitions int32
	rules      topicRules
	asOf       time.Time

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

// producerTopic is a topic that is produced to. It is open, when messages go straight to
// the client library, or closed, when they wait, in order, for the keeper to open
// it. The keeper opens it; a message's trouble closes it.
type producerTopic struct {
	name   string
	p      *producer
	sent   atomic.Int64              // messages in the library, not yet answered
	opened atomic.Pointer[topicInfo] // nil while the topic is closed

	mu      sync.Mutex
	waiting []*outgoing // in order; empty while the topic is open
	gone    bool        // the keeper has dropped this topic: ask it for another

	// Of the keeper's goroutine alone.
	last         *topicInfo // what it was when it was open
	missingSince time.Time
	created      time.Time
}

// accept takes a message, and reports false if the topic is gone.
func (t *producerTopic) accept(o *outgoing, now time.Time) bool {
	info := t.opened.Load()
	if info != nil && o.message.Partition < info.partitions && t.send(info, o, now) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false
	}
	info = t.opened.Load()
	switch {
	case info == nil:
		t.waitLocked(o)
	case o.message.Partition < info.partitions:
		t.send(info, o, now)
	case now.Sub(info.asOf) < lookAgainAfter:
		t.p.fail(o, errNoSuchPartition(t.name, o.message.Partition, int(info.partitions)))
	default:
		t.opened.Store(nil)
		t.waitLocked(o)
	}
	return true
}

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

// send gives a message to the library, and reports false if the topic isn't open
// with this info any more. Counting comes before looking: so the keeper, which
// closes the topic before it looks at the count, misses no message.
func (t *producerTopic) send(info *topicInfo, o *outgoing, now time.Time) bool {
	if err := info.rules.check(o.message, now); err != nil {
		t.p.fail(o, err)
		return true
	}
	t.sent.Add(1)
	if t.opened.Load() != info {
		t.answered(info)
		return false
	}
	t.pass(info, o)
	return true
}

func (t *producerTopic) pass(info *topicInfo, o *outgoing) {
	o.info = info
	o.since = info.session.ledger.now()
	info.session.cl.TryProduce(o.Context, &o.record, t.p.answered)
}

// answered counts a message out of the library.
func (t *producerTopic) answered(info *topicInfo) {
	if t.sent.Add(-1) == 0 && t.opened.Load() != info {
		t.p.keeper.wake()
	}
}

// open opens the topic and sends what has been waiting.
func (t *producerTopic) open(info *topicInfo, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.waiting {
		t.openForLocked(info, o, now)
	}
	t.waiting = nil
	t.opened.Store(info)
}

func (t *producerTopic) openForLocked(info *topicInfo, o *outgoing, now time.Time) {
	if o.message.Partition >= info.partitions {
		t.p.fail(o, errNoSuchPartition(t.name, o.message.Partition, int(info.partitions)))
		return
	}
	if err := info.rules.check(o.message, now); err != nil {
		t.p.fail(o, err)
		return
	}
	t.sent.Add(1)
	t.pass(info, o)
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

// expire fails those waiting messages whose deadline is over.
func (t *producerTopic) expire(cause *broker.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.waiting[:0]
	for _, o := range t.waiting {
		if o.Err() == nil {
			kept = append(kept, o)
			continue
		}
		e := t.p.explain(o, o.Err())
		if e.Code == broker.CodeUnavailable && cause != nil {
			e.Err = cause
		}
		t.p.fail(o, e)
	}
	clear(t.waiting[len(kept):])
	t.waiting = kept
}

// onDeadline calls f when the first of the waiting messages has to be failed; stop
// ends that.
func (t *producerTopic) onDeadline(f func()) (stop func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return func() bool { return true }
	}
	return context.AfterFunc(t.waiting[0], f)
}

// drop fails all waiting messages and ends the topic.
func (t *producerTopic) drop(err *broker.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.waiting {
		t.p.fail(o, err)
	}
	t.waiting = nil
	t.gone = true
	t.p.keeper.topics.Delete(t.name)
}
