package produce

import (
	"time"

	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// write is the stream's writer. It returns the stream's status.
func (s *stream) write() error {
	defer s.stopTimer()
	ctx := s.client.Context()
	var batch []*wire.Result
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.abandon()
			return status.FromContextError(ctx.Err()).Err()
		}
		if err := s.gone(); err != nil {
			s.abandon()
			return err
		}
		var over bool
		batch, over = s.take(batch)
		if err := s.send(batch); err != nil {
			s.abandon()
			return err
		}
		if over {
			return s.end(s.terminal())
		}
		clear(batch) // lets go of what has been sent
	}
}

// take returns the results that have gathered, in exchange for a batch that has
// been sent, and whether they are the stream's last.
func (s *stream) take(spare []*wire.Result) (batch []*wire.Result, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, s.results = s.results, spare[:0]
	s.sending = len(batch)
	ending := s.readErr != nil || s.draining
	s.over = ending && !s.feeding && s.outstanding == s.sending
	return batch, s.over
}

// send sends results, in as many frames as they need. Send has marshalled a frame
// when it returns, so that the frame and the batch can be used again.
func (s *stream) send(batch []*wire.Result) error {
	var frame wire.Results
	for len(batch) > 0 {
		n := frame.Fill(batch)
		if err := s.client.SendMsg(&frame); err != nil {
			return err
		}
		s.sent(n)
		batch = batch[n:]
	}
	return nil
}

func (s *stream) sent(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending -= n
	s.outstanding -= n
	s.changed.Signal()
}

// abandon drops the results, those to come too, and waits until the reader has
// given the producer what it has in hand. The reader gets no more: Recv fails
// once the stream's context has ended or the handler has returned. What the producer
// has no room for within Config.Timeout is dropped: while the broker is away, a window
// takes that long, and a request can have a thousand windows.
func (s *stream) abandon() {
	s.mu.Lock()
	s.abandoned = true
	s.outstanding -= len(s.results) + s.sending
	s.results, s.sending = nil, 0
	s.changed.Signal()
	s.mu.Unlock()
	defer time.AfterFunc(s.service.cfg.Timeout, s.dropRest).Stop()
	for !s.stop() {
		<-s.wake
	}
	s.logDropped()
}

// dropRest has the reader give nothing more to the producer.
func (s *stream) dropRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting, s.dropping = true, true
	s.changed.Signal()
}

func (s *stream) logDropped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped > 0 {
		s.service.cfg.Logger.Warn("messages of a client that has gone were not stored: the broker did not take them in time",
			"messages", s.dropped, "timeout", s.service.cfg.Timeout)
	}
}

// letGo lets go of the reader, when the handler returns: if the writer has panicked, it
// would wait for results to be sent.
func (s *stream) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandoned, s.over, s.cutting, s.dropping = true, true, true, true
	s.changed.Signal()
}

// stop ends the stream if the reader has nothing in hand.
func (s *stream) stop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = !s.feeding
	s.changed.Signal()
	return s.over
}

func (s *stream) gone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goneLocked()
}

func (s *stream) terminal() *messageproxyv1.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.terminalLocked()
}

// end tells the client twice why the stream ends: whoever reads only the status
// sees it too.
func (s *stream) end(terminal *messageproxyv1.Error) error {
	if terminal == nil {
		return nil
	}
	s.service.cfg.Logger.Debug("a produce stream ends", "code", terminal.GetCode(), "error", terminal.GetMessage())
	if err := s.client.Send(&messageproxyv1.ProduceResponse{TerminalError: terminal}); err != nil {
		return err
	}
	return wire.Status(terminal)
}

func (s *stream) stopTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}
