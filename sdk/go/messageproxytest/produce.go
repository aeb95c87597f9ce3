package messageproxytest

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// produceStream is a Produce stream. Guarded by the server's mu.
type produceStream struct {
	// held are messages that wait for ReleaseProduce.
	held []*messageproxyv1.OutgoingMessage
	// results are to be sent.
	results []*messageproxyv1.ProduceResult
	// unanswered are results that a script has lost: the stream doesn't end with OK
	// while there are any.
	unanswered int
	// halfClosed: no more requests come.
	halfClosed bool
	// end ends the stream.
	end  *messageproxy.Error
	wake chan struct{} // capacity 1
}

// Produce implements the service.
func (s *Server) Produce(stream grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]) error {
	p := &produceStream{wake: make(chan struct{}, 1)}
	s.mu.Lock()
	p.end = s.refusal
	s.produces[p] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.produces, p)
		s.mu.Unlock()
	}()
	go s.receiveProduce(stream, p)
	for {
		s.mu.Lock()
		results, end := p.results, p.end
		finished := p.halfClosed && len(p.held) == 0 && p.unanswered == 0
		p.results = nil
		s.mu.Unlock()
		if len(results) > 0 {
			if err := stream.Send(&messageproxyv1.ProduceResponse{Results: results}); err != nil {
				return err
			}
			continue
		}
		if end != nil {
			_ = stream.Send(&messageproxyv1.ProduceResponse{TerminalError: errorToWire(end)}) // the status says it too
			return statusOf(end)
		}
		if finished {
			return nil
		}
		select {
		case <-p.wake:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (s *Server) receiveProduce(stream grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse], p *produceStream) {
	for {
		request, err := stream.Recv()
		s.mu.Lock()
		if err != nil {
			p.halfClosed = errors.Is(err, io.EOF)
		} else {
			p.held = append(p.held, request.GetMessages()...)
			s.answerLocked(p)
		}
		s.mu.Unlock()
		signal(p.wake)
		if err != nil {
			return
		}
	}
}

// answerLocked decides about the messages of p, unless they are to wait. A stream
// that is to end takes no more.
func (s *Server) answerLocked(p *produceStream) {
	if s.holding || p.end != nil {
		return
	}
	for _, m := range p.held {
		if result := s.decideLocked(m); result != nil {
			p.results = append(p.results, result)
		} else {
			p.unanswered++
		}
	}
	p.held = nil
	s.deliverAllLocked()
}

// decideLocked does with a message what the script says. It returns nil if there
// is to be no result.
func (s *Server) decideLocked(out *messageproxyv1.OutgoingMessage) *messageproxyv1.ProduceResult {
	m := messageFromWire(out)
	var scripted error
	if s.script != nil {
		scripted = s.script(m)
	}
	if errors.Is(scripted, ErrLoseMessage) {
		return nil
	}
	if scripted != nil && !errors.Is(scripted, ErrLoseResult) {
		return failure(out.GetSequence(), asError(scripted))
	}
	stored, err := s.storeLocked(m)
	if err != nil {
		return failure(out.GetSequence(), err)
	}
	if scripted != nil {
		return nil
	}
	return &messageproxyv1.ProduceResult{
		Sequence: out.GetSequence(),
		Outcome: &messageproxyv1.ProduceResult_Receipt{Receipt: &messageproxyv1.MessageReceipt{
			MessageId:   stored.ID,
			Partition:   stored.Partition,
			TimestampMs: stored.Timestamp.UnixMilli(),
		}},
	}
}

func failure(sequence uint64, err *messageproxy.Error) *messageproxyv1.ProduceResult {
	return &messageproxyv1.ProduceResult{
		Sequence: sequence,
		Outcome:  &messageproxyv1.ProduceResult_Error{Error: errorToWire(err)},
	}
}

func messageFromWire(in *messageproxyv1.OutgoingMessage) *messageproxy.Message {
	m := &messageproxy.Message{Topic: in.GetTopic(), Key: in.Key, Value: in.Value, ToPartition: in.Partition}
	for _, h := range in.GetHeaders() {
		m.Headers = append(m.Headers, messageproxy.Header{Key: h.GetKey(), Value: h.Value})
	}
	if in.TimestampMs != nil {
		m.Timestamp = time.UnixMilli(in.GetTimestampMs())
	}
	return m
}
