package messageproxytest

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

func errorToWire(e *messageproxy.Error) *messageproxyv1.Error {
	return &messageproxyv1.Error{
		Code:       messageproxyv1.ErrorCode(e.Code),
		Message:    e.Message,
		Retryable:  e.Retryable,
		MessageIds: e.MessageIDs,
	}
}

// asError makes an Error of any error.
func asError(err error) *messageproxy.Error {
	if e, ok := errors.AsType[*messageproxy.Error](err); ok {
		return e
	}
	if code, ok := errors.AsType[messageproxy.Code](err); ok {
		return &messageproxy.Error{Code: code}
	}
	return &messageproxy.Error{Code: messageproxy.CodeInternal, Message: err.Error()}
}

var statusCodes = map[messageproxy.Code]codes.Code{
	messageproxy.CodeInvalidArgument:      codes.InvalidArgument,
	messageproxy.CodeTopicNotFound:        codes.NotFound,
	messageproxy.CodePartitionNotFound:    codes.NotFound,
	messageproxy.CodeMessageTooLarge:      codes.InvalidArgument,
	messageproxy.CodeBrokerUnavailable:    codes.Unavailable,
	messageproxy.CodeUnknownOutcome:       codes.Unknown,
	messageproxy.CodeConsumeFailed:        codes.Unavailable,
	messageproxy.CodeAckFailed:            codes.Unavailable,
	messageproxy.CodeNotHeld:              codes.FailedPrecondition,
	messageproxy.CodeAckTimeout:           codes.DeadlineExceeded,
	messageproxy.CodeSubscriptionConflict: codes.FailedPrecondition,
	messageproxy.CodeUnauthenticated:      codes.Unauthenticated,
	messageproxy.CodePermissionDenied:     codes.PermissionDenied,
	messageproxy.CodeResourceExhausted:    codes.ResourceExhausted,
	messageproxy.CodeShuttingDown:         codes.Unavailable,
	messageproxy.CodeInternal:             codes.Internal,
	messageproxy.CodeMessagesExpired:      codes.DataLoss,
	messageproxy.CodeUnsupported:          codes.Unimplemented,
}

// statusOf is the status of a stream that ends with e.
func statusOf(e *messageproxy.Error) error {
	code, ok := statusCodes[e.Code]
	if !ok {
		code = codes.Unknown
	}
	st, err := status.New(code, e.Message).WithDetails(errorToWire(e))
	if err != nil {
		return status.Error(code, e.Message)
	}
	return st.Err()
}

func messageToWire(m *messageproxy.Message, attempt uint32) *messageproxyv1.Message {
	out := &messageproxyv1.Message{
		Id:              m.ID,
		Key:             m.Key,
		Value:           m.Value,
		TimestampMs:     m.Timestamp.UnixMilli(),
		DeliveryAttempt: attempt,
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, &messageproxyv1.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

// deliverAllLocked gives all members whatever they may have now.
func (s *Server) deliverAllLocked() {
	for _, sub := range s.subscriptions {
		sub.deliver(s)
	}
}

// signal wakes whoever waits on c, a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
