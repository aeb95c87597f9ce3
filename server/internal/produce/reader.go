package produce

import (
	"errors"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// chunkMessages is how many messages are allocated at once. An allocation lives
// until the last of its messages is answered, so many more would let a few slow
// messages hold on to much memory.
const chunkMessages = 32

// read is the stream's reader. If it panics, its stream ends, and nothing else.
func (s *stream) read() {
	defer func() {
		if p := recover(); p != nil {
			s.service.logPanic("reading a stream failed", p)
			s.endReading(wire.Status(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, true,
				"the server failed to read a request; what has no result may be stored or may not")))
			s.finish()
		}
	}()
	for s.mayReceive() {
		request, bytes, err := wire.ReceivePieces(s.client)
		if err != nil {
			s.endReading(err)
			return
		}
		if !s.begin() {
			return // nothing of the request is stored, nor answered
		}
		s.process(request, bytes)
		s.finish()
	}
}

// mayReceive waits until the window has room and reports whether to go on. Without
// room nothing is received: the client's own flow control is to feel it.
func (s *stream) mayReceive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.outstanding >= s.service.cfg.MaxOutstandingMessages && !s.draining && !s.over {
		s.changed.Wait()
	}
	return !s.draining && !s.over
}

// begin reports whether a request that has been received is still to be
// processed.
func (s *stream) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeding = !s.draining && !s.over
	return s.feeding
}

func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feeding = false
	if s.draining || s.abandoned { // else the writer doesn't wait for it
		s.wakeWriter()
	}
}

// endReading says why there is nothing more to read.
func (s *stream) endReading(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readErr = err
	s.wakeWriter()
}

// feed gives the messages of a request to the producer, or their errors to the
// writer, piece by piece as the window allows. It returns what is left when the
// patience with a client that doesn't read its results is over.
func (s *stream) feed(messages []wire.Outgoing, patience time.Duration) (left []wire.Outgoing) {
	for len(messages) > 0 {
		n := s.waitForRoom(len(messages), patience)
		if n == 0 {
			return messages
		}
		deadline := time.Now().Add(s.service.cfg.Timeout)
		for piece := messages[:n]; len(piece) > 0; {
			chunk := piece[:min(chunkMessages, len(piece))]
			s.feedChunk(chunk, deadline)
			piece = piece[len(chunk):]
		}
		messages = messages[n:]
	}
	return nil
}

// waitForRoom waits until the window has room and takes it for up to n messages; 0
// says that there was none for as long as patience. When the stream is cut everything
// is answered at once, so there is room for it.
func (s *stream) waitForRoom(n int, patience time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.service.cfg.MaxOutstandingMessages
	impatient := false
	if s.outstanding >= limit && patience < forever {
		defer time.AfterFunc(patience, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			impatient = true
			s.changed.Signal()
		}).Stop()
	}
	for s.outstanding >= limit && !s.cutting {
		if impatient {
			return 0
		}
		s.changed.Wait()
	}
	if !s.cutting {
		n = min(n, limit-s.outstanding)
	}
	s.outstanding += n
	return n
}

// feedChunk feeds messages that have their room in the window. Those that don't
// get their bytes by deadline fail.
func (s *stream) feedChunk(messages []wire.Outgoing, deadline time.Time) {
	chunk, valid, bytes := s.prepare(messages)
	if s.service.budget.tryAcquire(valid, bytes) {
		s.hand(chunk)
		return
	}
	if s.isDropping() {
		s.drop(chunk)
		return
	}
	for i := range chunk {
		p := &chunk[i]
		if p.bytes > 0 {
			if err := s.service.budget.acquire(p.bytes, deadline, s.service.cutOff); err != nil {
				p.refuse(s.noBytes(err))
			}
		}
		s.hand(chunk[i : i+1])
	}
}

func (s *stream) isDropping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropping
}

// drop answers messages that nobody asks after any more.
func (s *stream) drop(chunk []pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range chunk {
		if p := &chunk[i]; p.bytes > 0 {
			p.refuse(shuttingDown())
			s.dropped++
		}
		s.answerLocked(&chunk[i])
	}
}

func (s *stream) noBytes(err error) *messageproxyv1.Error {
	if errors.Is(err, errCutOff) {
		return shuttingDown()
	}
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, true,
		"not stored: for %v the broker has not answered enough of what this server holds for it "+
			"(%d bytes at most): try again later", s.service.cfg.Timeout, s.service.budget.limit)
}

// prepare makes pending messages, those with a problem with their result, and
// says how many of them are valid and how many bytes those take.
func (s *stream) prepare(messages []wire.Outgoing) (chunk []pending, valid int, bytes int64) {
	chunk = make([]pending, len(messages))
	for i := range messages {
		m, p := &messages[i], &chunk[i]
		p.stream = s
		p.result.Sequence = m.Sequence
		if e := s.service.cfg.problem(m); e != nil {
			p.refuse(e)
			continue
		}
		p.message = m.ForBroker()
		p.bytes = s.service.budget.clip(int64(m.Size() + messageOverhead + headerOverhead*len(m.Headers)))
		bytes += p.bytes
		valid++
	}
	return chunk, valid, bytes
}

// hand gives messages, which have their bytes, to the producer, and those that
// have a result already to the writer. The producer may call back before it
// returns.
func (s *stream) hand(chunk []pending) {
	s.register(chunk)
	for i := range chunk {
		if p := &chunk[i]; p.bytes > 0 {
			s.give(p)
		}
	}
}

// give gives a message to the producer. If that panics, the message has an unknown
// outcome, and nothing else comes of it.
func (s *stream) give(p *pending) {
	defer func() {
		if value := recover(); value != nil {
			s.service.logPanic("the broker's producer panicked", value)
			p.done(broker.MessageReceipt{}, errPanic)
		}
	}()
	s.service.producer.ProduceAsync(&p.message, p.done)
}
