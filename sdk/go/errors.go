package messageproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// Code is the kind of an Error. Its values are those of the wire contract's
// ErrorCode. A Code is a target for errors.Is:
//
//	if errors.Is(err, messageproxy.CodeTopicNotFound) { … }
type Code int32

// The codes.
const (
	// CodeUnspecified: the server gave no code, or the error has none.
	CodeUnspecified Code = 0
	// CodeInvalidArgument: the message or an option isn't valid; the error says
	// which and why.
	CodeInvalidArgument Code = 1
	// CodeTopicNotFound: there is no such topic.
	CodeTopicNotFound Code = 2
	// CodePartitionNotFound: the topic has no such partition.
	CodePartitionNotFound Code = 3
	// CodeMessageTooLarge: the message is above a limit of the server or the broker.
	CodeMessageTooLarge Code = 4
	// CodeBrokerUnavailable: the proxy can't be reached, or not the broker behind it.
	CodeBrokerUnavailable Code = 5
	// CodeUnknownOutcome: the message may or may not be stored: the answer was lost.
	CodeUnknownOutcome Code = 6
	// CodeConsumeFailed: the server can't receive messages from the broker.
	CodeConsumeFailed Code = 7
	// CodeAckFailed: the server can't make ACKs durable.
	CodeAckFailed Code = 8
	// CodeNotHeld: ACKs of messages that this client doesn't hold any more.
	CodeNotHeld Code = 9
	// CodeAckTimeout: this client's oldest message wasn't ACKed in time.
	CodeAckTimeout Code = 10
	// CodeSubscriptionConflict: the subscription is in use with other topics or
	// another start position.
	CodeSubscriptionConflict Code = 11
	// CodeUnauthenticated: the credentials are missing or not accepted.
	CodeUnauthenticated Code = 12
	// CodePermissionDenied: the credentials don't allow this.
	CodePermissionDenied Code = 13
	// CodeResourceExhausted: a limit of the server is reached.
	CodeResourceExhausted Code = 14
	// CodeShuttingDown: the server is shutting down.
	CodeShuttingDown Code = 15
	// CodeInternal: something went wrong in the server.
	CodeInternal Code = 16
	// CodeMessagesExpired: the broker deleted messages before they were delivered.
	CodeMessagesExpired Code = 17
	// CodeUnsupported: the server or the broker behind it doesn't have the feature.
	CodeUnsupported Code = 18
)

var codeNames = [...]string{
	CodeUnspecified:          "error",
	CodeInvalidArgument:      "invalid argument",
	CodeTopicNotFound:        "topic not found",
	CodePartitionNotFound:    "partition not found",
	CodeMessageTooLarge:      "message too large",
	CodeBrokerUnavailable:    "unavailable",
	CodeUnknownOutcome:       "unknown outcome",
	CodeConsumeFailed:        "consume failed",
	CodeAckFailed:            "ACK failed",
	CodeNotHeld:              "not held",
	CodeAckTimeout:           "ACK timeout",
	CodeSubscriptionConflict: "subscription conflict",
	CodeUnauthenticated:      "unauthenticated",
	CodePermissionDenied:     "permission denied",
	CodeResourceExhausted:    "resource exhausted",
	CodeShuttingDown:         "shutting down",
	CodeInternal:             "internal error",
	CodeMessagesExpired:      "messages expired",
	CodeUnsupported:          "unsupported",
}

// String names the code in a person's words.
func (c Code) String() string {
	if c < 0 || int(c) >= len(codeNames) {
		return fmt.Sprintf("code %d", int32(c))
	}
	return codeNames[c]
}

// Error makes a Code a target for errors.Is.
func (c Code) Error() string { return c.String() }

var (
	// ErrUnknownOutcome is matched by every error of Produce and ProduceAsync that
	// leaves open whether the message is stored. Produce the message again if a
	// duplicate is better than a loss. An error that doesn't match it says that the
	// message is certainly not stored.
	ErrUnknownOutcome error = CodeUnknownOutcome

	// ErrClosed is matched by the errors of calls on a closed Client, and of those
	// that Close ended.
	ErrClosed = errors.New("the client is closed")

	// ErrHandlersRunning is matched by the error of a Consume that gave up waiting
	// for handlers: see WithDrainTimeout.
	ErrHandlersRunning = errors.New("handlers are still running")
)

// Error is an error that the server sent, or that the client found in the
// server's place. Match it with errors.As, or by its code with errors.Is.
type Error struct {
	Code Code
	// Message says, for a person, what happened and what to do.
	Message string
	// Retryable says whether the same call can succeed later.
	Retryable bool
	// MessageIDs are the messages that the error is about, if it is about some; at
	// most 1,000.
	MessageIDs []string
	// Err is the cause, or nil.
	Err error
}

// Error says the kind, what happened, and the cause.
func (e *Error) Error() string {
	parts := []string{e.Code.String()}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's Code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// PanicError is the error of a handler, or of a FailureHandler, that panicked.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is the stack of the panic, as runtime/debug.Stack has it. It is in no
	// error's text; the logger (WithLogger) gets it.
	Stack []byte
	who   string // theHandler or theFailureHandler
}

// Error says who panicked, and with what, in a line.
func (e *PanicError) Error() string {
	return fmt.Sprintf("%s panicked: %s", cmp.Or(e.who, theHandler), shorten(fmt.Sprint(e.Value)))
}

// shorten makes a text of any kind fit in a line.
func shorten(text string) string {
	const longest = 500
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// Unwrap returns the value of the panic if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// HandlerError says that a handler failed with a message for good. Consume
// returns it unless an option decides otherwise (WithFailureHandler).
type HandlerError struct {
	// Message is the message, which is not ACKed.
	Message *Message
	// Attempts is how many times the handler was called with it.
	Attempts int
	// Err is the error of the last attempt; a *PanicError if it panicked.
	Err error
}

// Error says which message, how many attempts, and the last error.
func (e *HandlerError) Error() string {
	return fmt.Sprintf("the handler failed %d times with message %s of %s/%d: %v",
		e.Attempts, e.Message.ID, e.Message.Topic, e.Message.Partition, e.Err)
}

// Unwrap returns the error of the last attempt.
func (e *HandlerError) Unwrap() error { return e.Err }

// errorFromWire turns an Error of the wire contract into one of this package.
// Codes that this version doesn't know keep their number.
func errorFromWire(e *messageproxyv1.Error) *Error {
	return &Error{
		Code:       Code(e.GetCode()),
		Message:    e.GetMessage(),
		Retryable:  e.GetRetryable(),
		MessageIDs: e.GetMessageIds(),
	}
}

// streamError turns the error with which a stream ended into an *Error: the one
// among the status's details if the server put one there, else one made of the
// status alone.
func streamError(err error) *Error {
	if errors.Is(err, io.EOF) {
		return &Error{Code: CodeBrokerUnavailable, Message: "the server ended the stream", Retryable: true}
	}
	st, _ := status.FromError(err)
	for _, detail := range st.Details() {
		if e, ok := detail.(*messageproxyv1.Error); ok {
			return errorFromWire(e)
		}
	}
	code, retryable := codeOfStatus(st.Code())
	return &Error{Code: code, Message: st.Message(), Retryable: retryable}
}

// codeOfStatus is what the status of a stream says that carries no Error: it
// comes from the transport, or from something between client and server.
func codeOfStatus(code codes.Code) (_ Code, retryable bool) {
	switch code {
	case codes.InvalidArgument:
		return CodeInvalidArgument, false
	case codes.Unauthenticated:
		return CodeUnauthenticated, false
	case codes.PermissionDenied:
		return CodePermissionDenied, false
	case codes.Unimplemented:
		return CodeUnsupported, false
	case codes.ResourceExhausted:
		return CodeResourceExhausted, true
	case codes.Internal:
		return CodeInternal, true
	default:
		return CodeBrokerUnavailable, true
	}
}

// unknownOutcome is the error of a message that was put on the wire and never
// answered.
func unknownOutcome(message string, cause error) *Error {
	return &Error{Code: CodeUnknownOutcome, Message: message, Retryable: true, Err: cause}
}

// contextError is why ctx ended, matching ctx.Err() whatever the cause is.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
