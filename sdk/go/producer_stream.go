package messageproxy

import (
	"context"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

const (
	// maxFrameBytes is about how much goes into one frame.
	maxFrameBytes = 256 << 10
	// perMessageBytes is what a message costs on the wire beside its own bytes,
	// roughly.
	perMessageBytes = 32
	// closeTimeout bounds how long a closing side waits for the server to end a
	// stream that has nothing left to say.
	closeTimeout = time.Second
)

type produceClient = grpc.BidiStreamingClient[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]

// produceStream is what the producer knows of one stream. Guarded by the
// producer's mu.
type produceStream struct {
	sequence   uint64
	unanswered unanswered
	// progressed: a result has come.
	progressed bool
}

// run has a stream open from when there is something to send until the stream is
// lost, and again, until the producer is closed.
func (p *producer) run() {
	for p.waitForWork() {
		err := p.runStream()
		if p.closing.Err() != nil {
			return
		}
		p.logger.Warn("can't produce; connecting again", "error", err)
		waitToReconnect(p.closing, p.conn, &p.retry)
	}
}

// waitForWork waits until the queue has something. It reports false at the end.
func (p *producer) waitForWork() bool {
	for {
		p.mu.Lock()
		ready := p.queue.first != nil
		p.mu.Unlock()
		if ready {
			return true
		}
		select {
		case <-p.wake:
		case <-p.closing.Done():
			return false
		}
	}
}

// runStream opens a stream and serves it until it ends. It returns why.
func (p *producer) runStream() *Error {
	ctx, cancel := context.WithCancel(p.alive)
	defer cancel()
	stream, err := p.client.Produce(ctx)
	if err != nil {
		reason := streamError(err)
		p.mu.Lock()
		p.noteTroubleLocked(reason)
		p.mu.Unlock()
		return reason
	}
	s := p.attach()
	received := make(chan *Error, 1)
	go func() { received <- p.receive(stream, s) }()
	p.write(stream, s, received)
	_ = stream.CloseSend() // the stream is over either way
	reason := <-received
	p.detach(s, reason)
	return reason
}

// attach makes a new stream the one in use.
func (p *producer) attach() *produceStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream = &produceStream{}
	p.trouble = nil
	return p.stream
}

// write sends what gathers in the queue until the stream or the producer ends.
func (p *producer) write(stream produceClient, s *produceStream, received chan *Error) {
	frame := newProduceFrame()
	for len(received) == 0 { // not known to be lost
		if p.fillFrame(frame, s) {
			if stream.SendMsg(frame) != nil {
				return // the receiver learns why
			}
			continue
		}
		select {
		case <-p.wake:
			// Whoever else is about to produce may go first, and share the frame.
			runtime.Gosched()
		case reason := <-received:
			received <- reason
			return
		case <-p.closing.Done():
			return
		}
	}
}

// fillFrame takes from the queue what has gathered, up to a frame's size, and
// puts it on the wire. It reports whether there is something to send.
func (p *producer) fillFrame(frame *produceFrame, s *produceStream) bool {
	frame.reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes := 0
	for m := p.queue.first; m != nil && bytes < maxFrameBytes; m = p.queue.first {
		p.queue.remove(m)
		s.sequence++
		m.sequence = s.sequence
		m.onWire = true
		s.unanswered.put(m)
		frame.add(m)
		bytes += m.size + perMessageBytes
	}
	return len(frame.messages) > 0
}

// receive takes results until the stream ends, and returns why it did.
func (p *producer) receive(stream produceClient, s *produceStream) *Error {
	var terminal *Error
	response := newProduceResults()
	for {
		if err := stream.RecvMsg(response); err != nil {
			if terminal == nil {
				terminal = streamError(err)
			}
			return terminal
		}
		p.takeResults(s, response.results)
		if response.terminal != nil {
			terminal = response.terminal
		}
	}
}

func (p *producer) takeResults(s *produceStream, results []produceResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range results {
		result := &results[i]
		m := s.unanswered.take(result.sequence)
		if m == nil {
			continue
		}
		s.progressed = true
		p.offLocked(m)
		p.answerLocked(m, result.receipt, result.err)
	}
}

// detach decides what becomes of the messages that a stream leaves unanswered.
// After SHUTTING_DOWN they were certainly not stored, and go out again, in order
// and before all others; otherwise nobody knows.
func (p *producer) detach(s *produceStream, reason *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream = nil
	if s.progressed {
		p.retry.reset()
	}
	messages := s.unanswered.all()
	again := reason.Code == CodeShuttingDown && !p.closed
	for _, m := range slices.Backward(messages) {
		if again && !m.answered {
			m.onWire = false
			p.queue.pushFront(m)
		}
	}
	for _, m := range messages {
		if m.onWire {
			p.offLocked(m)
			p.answerLocked(m, Receipt{}, unknownOutcome("the stream was lost before the server answered", reason))
		}
	}
	// Now, since what is produced by those who hear of the others is not to fail with them.
	p.noteTroubleLocked(reason)
}

// noteTroubleLocked notes why there is no stream. What trying again won't help fails
// the queue, which was never put on the wire.
func (p *producer) noteTroubleLocked(reason *Error) {
	p.trouble = reason
	if endsForGood(reason) {
		p.failQueueLocked(reason)
	}
}

// close ends the producer: what is unanswered is answered now. It may be called
// twice, and returns when the goroutines have ended.
func (p *producer) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	if first {
		p.beginClose()
		p.failQueueLocked(ErrClosed)
		p.failUnansweredLocked()
	}
	timeout := closeTimeout
	if p.stream == nil {
		timeout = 0 // it may be connecting
	}
	p.mu.Unlock()
	signal(p.callbackWake)
	defer time.AfterFunc(timeout, p.stop).Stop()
	p.goroutines.Wait()
	p.stop()
}

// failUnansweredLocked answers what is on the wire; it stays there until the
// stream ends.
func (p *producer) failUnansweredLocked() {
	if p.stream == nil {
		return
	}
	for _, m := range p.stream.unanswered.all() {
		p.answerLocked(m, Receipt{}, unknownOutcome("the client was closed before the server answered", ErrClosed))
	}
}
