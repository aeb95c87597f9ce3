package consume

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode"

	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// The limits of what a subscribe request may name.
const (
	maxNameBytes       = 249
	maxClientNameBytes = 512 // every log line about the client repeats it
	maxTopics          = 1000
)

func invalidArgument(format string, args ...any) *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT, false, format, args...)
}

// refuse ends a stream that has joined nothing; err is nil if there is nobody to
// tell.
func (s *Service) refuse(stream Stream, err *messageproxyv1.Error) error {
	if err == nil {
		return status.FromContextError(stream.Context().Err()).Err()
	}
	if sendErr := stream.Send(&messageproxyv1.ConsumeResponse{
		Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: err},
	}); sendErr != nil {
		return sendErr
	}
	return wire.Status(err)
}

// subscribeTimeout is how long a stream may say nothing, so that streams that nobody
// uses don't gather. Clients subscribe as soon as they have a stream. It is longer than
// the server takes to notice that a connection is dead (45 s), so whoever is still there
// and silent has a client that doesn't know the protocol.
const subscribeTimeout = time.Minute

// receiveFirst receives the first request of a stream. Without one it returns what to
// tell the client, or nil if there is nobody to tell.
func (s *Service) receiveFirst(stream Stream) (*messageproxyv1.ConsumeRequest, *messageproxyv1.Error) {
	type first struct {
		request *messageproxyv1.ConsumeRequest
		refused *messageproxyv1.Error
	}
	received := make(chan first, 1)
	go func() { // ends when this stream's handler has returned, at the latest
		request, refused := s.receive(stream)
		received <- first{request, refused}
	}()
	timer := time.NewTimer(subscribeTimeout)
	defer timer.Stop()
	select {
	case f := <-received:
		return f.request, f.refused
	case <-timer.C:
		return nil, invalidArgument("no request came within %v: send subscribe as soon as the stream is open", subscribeTimeout)
	case <-s.drains: // who hasn't said anything has nothing to finish
		return nil, coordinator.ShuttingDown()
	}
}

// receive is receiveFirst without its limits of time.
func (s *Service) receive(stream Stream) (request *messageproxyv1.ConsumeRequest, refused *messageproxyv1.Error) {
	defer func() {
		if value := recover(); value != nil {
			logPanic(s.cfg.Logger, "reading a stream failed", value)
			request, refused = nil, failedToRead()
		}
	}()
	request = &messageproxyv1.ConsumeRequest{}
	if err := wire.Receive(stream, request); err != nil {
		return nil, firstRequestError(err)
	}
	return request, nil
}

func failedToRead() *messageproxyv1.Error {
	return wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, true, "the server failed to read a request")
}

// firstRequestError is what to tell a client whose first request didn't come, or
// nil if there is nobody to tell.
func firstRequestError(err error) *messageproxyv1.Error {
	if errors.Is(err, io.EOF) {
		return invalidArgument("the stream ended before its first request: send subscribe first")
	}
	if broken, ok := errors.AsType[*wire.DecodeError](err); ok {
		return undecodable(broken)
	}
	return nil
}

// undecodable says that a request isn't what the wire contract says.
func undecodable(err *wire.DecodeError) *messageproxyv1.Error {
	return invalidArgument("a request could not be decoded: %v; is the client generated from this server's contract?", err.Err)
}

// outOfPlace says what is wrong with a request that came after subscribe.
func outOfPlace(request *messageproxyv1.ConsumeRequest) *messageproxyv1.Error {
	switch request.GetRequest().(type) {
	case *messageproxyv1.ConsumeRequest_Subscribe:
		return invalidArgument("a second subscribe: one stream has one subscription; open another stream")
	case *messageproxyv1.ConsumeRequest_Leave:
		return invalidArgument("a second leave: send it once, ACK what is held, then half-close")
	}
	return invalidArgument("a request of a kind that this server doesn't know: it knows subscribe, ack and leave")
}

// parseSubscribe checks the first request of a stream.
func parseSubscribe(request *messageproxyv1.ConsumeRequest) (coordinator.Join, *messageproxyv1.Error) {
	subscribe := request.GetSubscribe()
	var join coordinator.Join
	if subscribe == nil {
		return join, invalidArgument("the first request must be subscribe")
	}
	if problem := nameProblem(subscribe.GetSubscription()); problem != "" {
		return join, invalidArgument("subscription %s", problem)
	}
	if n := len(subscribe.GetClientName()); n > maxClientNameBytes {
		return join, invalidArgument("client_name has %d bytes: at most %d are allowed", n, maxClientNameBytes)
	}
	if len(subscribe.GetTopics()) == 0 {
		return join, invalidArgument("topics is empty: name at least one")
	}
	if len(subscribe.GetTopics()) > maxTopics {
		return join, invalidArgument("topics has %d entries: at most %d are allowed", len(subscribe.GetTopics()), maxTopics)
	}
	for i, topic := range subscribe.GetTopics() {
		if problem := wire.TopicProblem(topic); problem != "" {
			return join, invalidArgument("topics[%d] %s", i, problem)
		}
	}
	join.Spec.Topics = slices.Compact(slices.Sorted(slices.Values(subscribe.GetTopics())))
	return join, parseOptions(subscribe, &join)
}

func parseOptions(subscribe *messageproxyv1.SubscribeRequest, join *coordinator.Join) *messageproxyv1.Error {
	switch subscribe.GetStartPosition() {
	case messageproxyv1.StartPosition_START_POSITION_UNSPECIFIED, messageproxyv1.StartPosition_START_POSITION_EARLIEST:
		join.Spec.Start = broker.StartEarliest
	case messageproxyv1.StartPosition_START_POSITION_LATEST:
		join.Spec.Start = broker.StartLatest
	default:
		return invalidArgument("start_position %d is unknown to this server", subscribe.GetStartPosition())
	}
	if subscribe.MaxUnackedMessages != nil {
		if subscribe.GetMaxUnackedMessages() == 0 {
			return invalidArgument("max_unacked_messages is 0: at least 1, or leave it out for the server's limit")
		}
		join.MaxUnackedMessages = int(min(subscribe.GetMaxUnackedMessages(), 1<<30))
	}
	if subscribe.GetAckTimeout() != nil {
		join.AckTimeout = subscribe.GetAckTimeout().AsDuration()
		if join.AckTimeout < minAckTimeout || subscribe.GetAckTimeout().CheckValid() != nil {
			return invalidArgument("ack_timeout is %v: at least %v, or leave it out for the server's default",
				join.AckTimeout, minAckTimeout)
		}
	}
	return nil
}

// minAckTimeout is the least that a client can mean: below it, the network alone
// would disconnect it.
const minAckTimeout = time.Second

func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty: give it a name"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("is too long: at most %d bytes are allowed", maxNameBytes)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return wire.Quote(name) + " has control characters: use printable ones"
		}
	}
	return ""
}
