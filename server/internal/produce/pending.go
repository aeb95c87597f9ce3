package produce

import (
	"errors"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// Bytes that keeping track of a message and of a header takes, about. They count
// so that messages without a payload can't exhaust the memory.
const (
	messageOverhead = 320
	headerOverhead  = 40
)

// pending is a message between being read and being answered, with all that its
// answer needs: they are allocated many at a time. stream.mu guards the fields
// from answered on.
type pending struct {
	stream  *stream
	message broker.OutgoingMessage
	// bytes is its share of the budget: more than zero if, and only if, the message
	// is for the producer.
	bytes int64

	answered bool
	// back: the producer has called back.
	back bool
	// deadline is when the message is answered if the producer hasn't.
	deadline time.Time
	// earlier and later are its neighbours in stream.unanswered.
	earlier, later *pending

	result wire.Result
}

// done is the producer's callback. It doesn't block: the stream's lock is never
// held across I/O. Called again it does nothing.
func (p *pending) done(receipt broker.MessageReceipt, err error) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.back {
		return
	}
	p.back = true
	s.service.budget.release(p.bytes)
	p.message = broker.OutgoingMessage{} // others of its allocation may live on for long
	if p.answered {
		return // the deadline, or the drain's end, has been faster
	}
	s.unanswered.remove(p)
	p.conclude(receipt, err)
	s.answerLocked(p)
}

// conclude makes the result. A panic, for example of an error's own method, must not
// end the goroutine, which is the producer's.
func (p *pending) conclude(receipt broker.MessageReceipt, err error) {
	defer func() {
		if value := recover(); value != nil {
			p.stream.service.logPanic("a result could not be made", value)
			p.fail(producerError(errPanic))
		}
	}()
	if err != nil {
		p.fail(producerError(err))
	} else {
		p.succeed(receipt)
	}
}

var errPanic = errors.New("it failed in a way that nobody expected; the server's log says how")

func (p *pending) succeed(receipt broker.MessageReceipt) {
	p.result.MessageID = wire.Text(receipt.ID)
	p.result.Partition = receipt.Partition
	p.result.TimestampMs = receipt.Timestamp.UnixMilli()
}

func (p *pending) fail(e *messageproxyv1.Error) { p.result.Err = e }

// refuse makes the result of a message that the producer doesn't get.
func (p *pending) refuse(e *messageproxyv1.Error) {
	p.bytes = 0
	p.message = broker.OutgoingMessage{}
	p.fail(e)
}

// producerError turns the error of a callback into that of a result. Only an
// error of the broker contract says that the message is certainly not stored.
func producerError(err error) *messageproxyv1.Error {
	if _, ok := errors.AsType[*broker.Error](err); ok {
		return wire.Error(err)
	}
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, true,
		"the broker failed in a way that doesn't tell whether the message is stored: %v", err)
}

// pendingList is a list of pending messages in the order in which the producer
// got them, which is that of their deadlines.
type pendingList struct {
	oldest, newest *pending
}

func (l *pendingList) append(p *pending) {
	p.earlier = l.newest
	if l.newest == nil {
		l.oldest = p
	} else {
		l.newest.later = p
	}
	l.newest = p
}

func (l *pendingList) remove(p *pending) {
	if p.earlier == nil {
		l.oldest = p.later
	} else {
		p.earlier.later = p.later
	}
	if p.later == nil {
		l.newest = p.earlier
	} else {
		p.later.earlier = p.earlier
	}
	p.earlier, p.later = nil, nil
}
