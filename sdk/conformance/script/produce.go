package script

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

type produceServer = grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]

// ProduceStream is a Produce stream of a client.
type ProduceStream struct {
	*stream

	// Guarded by the server's state.
	frames    []Frame
	messages  []*messageproxyv1.OutgoingMessage
	answering bool // each message is answered as it comes
}

// Frame is a request of a client on the wire.
type Frame struct {
	Messages, Bytes int
}

// Produce implements the service.
func (s *Server) Produce(g produceServer) error {
	p := &ProduceStream{stream: s.newStream(g)}
	s.state.Update(func() { s.produces = append(s.produces, p) })
	return p.serve(func() error { return p.receive(g) })
}

func (p *ProduceStream) receive(g produceServer) error {
	request, err := g.Recv()
	answer := false
	p.server.state.Update(func() {
		if err != nil {
			p.halfClosed = errors.Is(err, io.EOF)
			return
		}
		p.frames = append(p.frames, Frame{len(request.GetMessages()), proto.Size(request)})
		p.messages = append(p.messages, request.GetMessages()...)
		answer = p.answering
	})
	if answer {
		p.sendMu.Lock()
		defer p.sendMu.Unlock()
		return g.SendMsg(receipts(request.GetMessages()))
	}
	return err
}

// Await waits until so many messages have come on the stream, and returns all of it.
func (p *ProduceStream) Await(n int) []*messageproxyv1.OutgoingMessage {
	p.server.t.Helper()
	p.server.state.Wait(p.server.t,
		func() string {
			return fmt.Sprintf("message %d on a Produce stream; %d have come, the stream is gone: %t", n, len(p.messages), p.gone)
		},
		func() bool { return len(p.messages) >= n })
	return p.Messages()
}

// AwaitValue waits until a message with a value has come on the stream, and returns all of
// it.
func (p *ProduceStream) AwaitValue(value string) []*messageproxyv1.OutgoingMessage {
	p.server.t.Helper()
	p.server.state.Wait(p.server.t,
		func() string {
			return fmt.Sprintf("the message %q on a Produce stream; %d have come, the stream is gone: %t", value, len(p.messages), p.gone)
		},
		func() bool {
			return slices.ContainsFunc(p.messages, func(m *messageproxyv1.OutgoingMessage) bool { return string(m.GetValue()) == value })
		})
	return p.Messages()
}

// Messages are those that have come on the stream.
func (p *ProduceStream) Messages() []*messageproxyv1.OutgoingMessage {
	var all []*messageproxyv1.OutgoingMessage
	p.server.state.Look(func() { all = slices.Clone(p.messages) })
	return all
}

// Frames are the requests that have come on the stream.
func (p *ProduceStream) Frames() []Frame {
	var all []Frame
	p.server.state.Look(func() { all = slices.Clone(p.frames) })
	return all
}

// AnswerAll answers everything with a receipt, as it comes; what has come already, now.
func (p *ProduceStream) AnswerAll() {
	p.server.t.Helper()
	var before []*messageproxyv1.OutgoingMessage
	p.server.state.Update(func() {
		p.answering = true
		before = slices.Clone(p.messages)
	})
	if len(before) > 0 {
		p.send(receipts(before))
	}
}

// Answer answers the messages of these sequences with receipts, in a response.
func (p *ProduceStream) Answer(sequences ...uint64) {
	p.server.t.Helper()
	response := &messageproxyv1.ProduceResponse{}
	for _, sequence := range sequences {
		response.Results = append(response.Results, Stored(sequence))
	}
	p.Send(response)
}

// Fail answers the message of a sequence with an error.
func (p *ProduceStream) Fail(sequence uint64, e *messageproxyv1.Error) {
	p.server.t.Helper()
	p.Send(&messageproxyv1.ProduceResponse{Results: []*messageproxyv1.ProduceResult{
		{Sequence: sequence, Outcome: &messageproxyv1.ProduceResult_Error{Error: e}},
	}})
}

// Send sends a response as it is.
func (p *ProduceStream) Send(response *messageproxyv1.ProduceResponse) {
	p.server.t.Helper()
	p.send(response)
}

// Terminate ends the stream with a terminal error, and a status that has it too.
func (p *ProduceStream) Terminate(e *messageproxyv1.Error) {
	p.server.t.Helper()
	p.Send(&messageproxyv1.ProduceResponse{TerminalError: e})
	p.EndWithDetails(codes.Aborted, e)
}

// Stored is the result of the message of a sequence: a receipt that shows the sequence.
func Stored(sequence uint64) *messageproxyv1.ProduceResult {
	return &messageproxyv1.ProduceResult{Sequence: sequence, Outcome: &messageproxyv1.ProduceResult_Receipt{
		Receipt: &messageproxyv1.MessageReceipt{
			MessageId:   fmt.Sprintf("id-%d", sequence),
			Partition:   int32(sequence % 7),
			TimestampMs: 1_700_000_000_000 + int64(sequence),
		},
	}}
}

func receipts(messages []*messageproxyv1.OutgoingMessage) *messageproxyv1.ProduceResponse {
	response := &messageproxyv1.ProduceResponse{}
	for _, m := range messages {
		response.Results = append(response.Results, Stored(m.GetSequence()))
	}
	return response
}
