package messageproxytest

import (
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

const (
	defaultMaxUnacked = 1000
	defaultAckTimeout = 60 * time.Second
)

// member is a Consume stream. Guarded by the server's mu.
type member struct {
	subscription *subscription
	maxUnacked   int
	// unacked is how many messages it holds.
	unacked int
	// leaving: it gets no more messages.
	leaving bool
	// responses are to be sent.
	responses []*messageproxyv1.ConsumeResponse
	// halfClosed: no more requests come.
	halfClosed bool
	// end ends the stream.
	end  *messageproxy.Error
	wake chan struct{} // capacity 1
}

func (m *member) respond(response *messageproxyv1.ConsumeResponse) {
	m.responses = append(m.responses, response)
	signal(m.wake)
}

// Consume implements the service.
func (s *Server) Consume(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	m, refusal := s.join(first.GetSubscribe())
	if refusal != nil {
		return endConsume(stream, refusal)
	}
	defer s.part(m)
	go s.receiveConsume(stream, m)
	for {
		s.mu.Lock()
		responses, end, halfClosed := m.responses, m.end, m.halfClosed
		m.responses = nil
		s.mu.Unlock()
		for _, response := range responses {
			if err := stream.Send(response); err != nil {
				return err
			}
		}
		if len(responses) > 0 {
			continue
		}
		if end != nil {
			return endConsume(stream, end)
		}
		if halfClosed {
			return nil
		}
		select {
		case <-m.wake:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func endConsume(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse], e *messageproxy.Error) error {
	terminal := &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: errorToWire(e)}
	_ = stream.Send(&messageproxyv1.ConsumeResponse{Response: terminal}) // the status says it too
	return statusOf(e)
}

func (s *Server) receiveConsume(stream grpc.BidiStreamingServer[messageproxyv1.ConsumeRequest, messageproxyv1.ConsumeResponse], m *member) {
	for {
		request, err := stream.Recv()
		s.mu.Lock()
		if err != nil {
			m.halfClosed = errors.Is(err, io.EOF)
			s.mu.Unlock()
			signal(m.wake)
			return
		}
		switch r := request.GetRequest().(type) {
		case *messageproxyv1.ConsumeRequest_Ack:
			s.ackLocked(m, r.Ack.GetMessageIds())
		case *messageproxyv1.ConsumeRequest_Leave:
			m.leaving = true
			m.subscription.share()
		default:
			m.end = &messageproxy.Error{Code: messageproxy.CodeInvalidArgument, Message: "only ack and leave may follow subscribe"}
		}
		m.subscription.deliver(s)
		s.changedLocked()
		s.mu.Unlock()
		signal(m.wake)
	}
}

// join makes a member of who sent subscribe, or says why not.
func (s *Server) join(request *messageproxyv1.SubscribeRequest) (*member, *messageproxy.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refusal != nil:
		return nil, s.refusal
	case request.GetSubscription() == "" || len(request.GetTopics()) == 0:
		return nil, &messageproxy.Error{Code: messageproxy.CodeInvalidArgument, Message: "the first request must be subscribe, with a subscription and topics"}
	}
	sub := s.subscriptionLocked(request)
	if !sub.sameTopics(request.GetTopics()) {
		return nil, &messageproxy.Error{Code: messageproxy.CodeSubscriptionConflict, Message: "the subscription is in use with other topics"}
	}
	m := &member{subscription: sub, maxUnacked: defaultMaxUnacked, wake: make(chan struct{}, 1)}
	if n := int(request.GetMaxUnackedMessages()); n > 0 {
		m.maxUnacked = min(n, m.maxUnacked)
	}
	timeout := request.GetAckTimeout()
	if timeout == nil {
		timeout = durationpb.New(defaultAckTimeout)
	}
	m.respond(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Subscribed{
		Subscribed: &messageproxyv1.Subscribed{MaxUnackedMessages: uint32(m.maxUnacked), AckTimeout: timeout},
	}})
	sub.members = append(sub.members, m)
	sub.share()
	sub.deliver(s)
	s.changedLocked()
	return m, nil
}

// part takes a member out; what it holds goes to others.
func (s *Server) part(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.subscription.remove(m)
	m.subscription.deliver(s)
	s.changedLocked()
}

// ackLocked takes ACKs of m; those of messages that it doesn't hold are answered
// with a notice.
func (s *Server) ackLocked(m *member, ids []string) {
	var notHeld []string
	for _, id := range ids {
		if !m.subscription.ack(m, id) {
			notHeld = append(notHeld, id)
		}
	}
	if len(notHeld) == 0 {
		return
	}
	m.respond(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Notice{Notice: &messageproxyv1.Error{
		Code:       messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD,
		Message:    "this client doesn't hold these messages",
		MessageIds: notHeld[:min(len(notHeld), 1000)],
	}}})
}
