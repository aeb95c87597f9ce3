package produce

import (
	"errors"
	"io"
	"sync"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// callbackGrace is how much longer than Config.Timeout a message waits for the
// producer's callback, which knows better than this server what became of it.
const callbackGrace = time.Second

// stream is one Produce stream. Its reader and its writer, the producer's
// callbacks and the timer share the state below mu; mu is never held across I/O,
// nor while the producer is called.
type stream struct {
	service *Service
	client  Stream
	// wake tells the writer to look again.
	wake chan struct{}

	mu sync.Mutex
	// changed tells the reader that there may be room, or that none is needed.
	changed sync.Cond
	// outstanding is how many messages were taken from a request and have no result
	// that has been sent.
	// Invariant: those in unanswered, in results, in sending, and those that the
	// reader has taken and not yet registered. Once abandoned: without those that
	// have a result.
	outstanding int
	// unanswered are the messages that the producer has, without a result.
	unanswered pendingList
	// results are made and not yet taken by the writer.
	results []*wire.Result
	// sending is how many results the writer has taken and not yet sent.
	sending int
	// timer runs expire, if armed, at the oldest unanswered message's deadline.
	timer *time.Timer
	armed bool
	// feeding says that the reader has a request in hand.
	feeding bool
	// readErr is why the reader has ended: io.EOF is a half-close, a
	// *wire.DecodeError a request that ends the stream when what came before is
	// answered, and all others say that the stream is gone.
	readErr error
	// draining: no request is begun any more.
	draining bool
	// cutting: nothing is given to the producer any more, and nothing awaited.
	cutting bool
	// abandoned: nobody wants the results.
	abandoned bool
	// dropping: abandoned, and cutting what the producer has not taken yet; dropped is
	// how many messages that were.
	dropping bool
	dropped  int
	// over: the writer has ended, or will after what it is sending.
	over bool
}

func newStream(s *Service, client Stream) *stream {
	st := &stream{service: s, client: client, wake: make(chan struct{}, 1)}
	st.changed.L = &st.mu
	return st
}

func (s *stream) wakeWriter() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// answerLocked takes the result of p, which is not in unanswered (any more).
func (s *stream) answerLocked(p *pending) {
	p.answered = true
	s.service.results.count(&p.result)
	if s.abandoned {
		s.outstanding--
		s.changed.Signal()
		return
	}
	if len(s.results) == 0 { // else it has been woken, and has not taken them yet
		s.wakeWriter()
	}
	s.results = append(s.results, &p.result)
}

// register takes over the results of those of chunk that have one, and awaits
// those of the others, which the caller gives to the producer next.
func (s *stream) register(chunk []pending) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range chunk {
		p := &chunk[i]
		if s.cutting && p.bytes > 0 {
			s.service.budget.release(p.bytes)
			p.refuse(shuttingDown())
			if s.dropping {
				s.dropped++
			}
		}
		if p.bytes == 0 {
			s.answerLocked(p)
		} else {
			s.awaitLocked(p, now)
		}
	}
}

// awaitLocked makes p one of those that the producer answers, or the timer.
func (s *stream) awaitLocked(p *pending, now time.Time) {
	p.deadline = now.Add(s.service.cfg.Timeout + callbackGrace)
	s.unanswered.append(p)
	s.armLocked(now)
}

func (s *stream) armLocked(now time.Time) {
	if s.armed || s.unanswered.oldest == nil {
		return
	}
	s.armed = true
	left := s.unanswered.oldest.deadline.Sub(now)
	if s.timer == nil {
		s.timer = time.AfterFunc(left, s.expire)
	} else {
		s.timer.Reset(left)
	}
}

// expire answers what the producer has not answered in time.
func (s *stream) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, true,
		"the broker has not answered within %v: the message may be stored or may not; "+
			"if it must not be missing, send it again and expect a duplicate", s.service.cfg.Timeout),
		func(p *pending) bool { return p.deadline.After(now) })
	s.armed = false
	s.armLocked(now)
}

// giveUpLocked answers unanswered messages, the oldest first, up to the first
// that may wait.
func (s *stream) giveUpLocked(e *messageproxyv1.Error, mayWait func(*pending) bool) {
	for p := s.unanswered.oldest; p != nil && !mayWait(p); p = s.unanswered.oldest {
		s.unanswered.remove(p)
		p.fail(e)
		s.answerLocked(p)
	}
}

// drain ends the stream when what was read is answered.
func (s *stream) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.changed.Signal()
	s.wakeWriter()
}

// cut ends the stream when the results that it can have now are sent.
func (s *stream) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting = true
	s.giveUpLocked(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME, true,
		"the server shuts down before the broker has answered: the message may be stored or may not; "+
			"if it must not be missing, send it again and expect a duplicate"),
		func(*pending) bool { return false })
	s.changed.Signal()
	s.wakeWriter()
}

// goneLocked is the error of a stream on which nothing can be sent any more:
// cancelled, disconnected, or ended by gRPC itself because of a request above its
// receive limit.
func (s *stream) goneLocked() error {
	if s.readErr == nil || errors.Is(s.readErr, io.EOF) || isDecodeError(s.readErr) {
		return nil
	}
	return s.readErr
}

// terminalLocked is the error that the stream ends with, or nil for OK.
func (s *stream) terminalLocked() *messageproxyv1.Error {
	switch {
	case errors.Is(s.readErr, io.EOF):
		return nil
	case s.readErr != nil:
		return invalid("%v; none of its messages was stored (topics and header keys must be valid UTF-8)", s.readErr)
	}
	return shuttingDown()
}

func isDecodeError(err error) bool {
	_, ok := errors.AsType[*wire.DecodeError](err)
	return ok
}

// shuttingDown is also the result of messages that were not given to the
// producer.
func shuttingDown() *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN, true,
		"the server is shutting down: connect to another one; what has no result was not stored")
}
