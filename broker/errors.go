package broker

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the kind of an Error.
type Code int

// The codes. A backend uses CodeInternal only for what fits no other.
const (
	CodeInternal Code = iota
	// CodeInvalidArgument: the message or an option can't be accepted; trying again
	// won't help.
	CodeInvalidArgument
	CodeTopicNotFound
	CodePartitionNotFound
	// CodeMessageTooLarge: the broker refuses a message of this size.
	CodeMessageTooLarge
	// CodeUnavailable: the broker can't be reached, or can't serve this now.
	CodeUnavailable
	// CodeUnknownOutcome: the message may or may not be stored.
	CodeUnknownOutcome
	// CodeUnauthenticated: the broker doesn't accept the proxy's credentials.
	CodeUnauthenticated
	// CodePermissionDenied: the broker doesn't let the proxy do this.
	CodePermissionDenied
	// CodeUnsupported: a feature that the backend doesn't have.
	CodeUnsupported
	// CodeClosed: the producer, consumer or broker was closed.
	CodeClosed

	codeEnd // one past the last code
)

var codeNames = [...]string{
	CodeInternal:          "internal error",
	CodeInvalidArgument:   "invalid argument",
	CodeTopicNotFound:     "topic not found",
	CodePartitionNotFound: "partition not found",
	CodeMessageTooLarge:   "message too large",
	CodeUnavailable:       "broker unavailable",
	CodeUnknownOutcome:    "unknown outcome",
	CodeUnauthenticated:   "unauthenticated",
	CodePermissionDenied:  "permission denied",
	CodeUnsupported:       "unsupported",
	CodeClosed:            "closed",
}

// String names the code in a person's words.
func (c Code) String() string {
	if c < 0 || c >= codeEnd {
		return fmt.Sprintf("code %d", int(c))
	}
	return codeNames[c]
}

// Codes returns all codes, for tables that must be complete.
func Codes() []Code {
	codes := make([]Code, 0, codeEnd)
	for c := range codeEnd {
		codes = append(codes, c)
	}
	return codes
}

// Error is what the methods of this contract return, apart from the errors of
// contexts. Match one by its code with errors.Is(err, broker.CodeTopicNotFound).
type Error struct {
	Code Code
	// Topic is the topic that the error is about, or empty.
	Topic string
	// Partition is the partition of Topic that the error is about, or AnyPartition.
	// It means nothing without Topic.
	Partition int32
	// Retryable says whether the same call can succeed later.
	Retryable bool
	// Message says, for a person, what happened and what to do.
	Message string
	// Err is the cause, or nil.
	Err error
}

// Error says the kind, what it is about, what happened, and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code.String())
	if e.Topic != "" {
		fmt.Fprintf(&b, ": topic %q", e.Topic)
		if e.Partition != AnyPartition {
			fmt.Fprintf(&b, " partition %d", e.Partition)
		}
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's Code, or an Error without a cause and
// with the same code.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return e.Code == t
	case *Error:
		return t.Err == nil && t.Topic == "" && e.Code == t.Code
	}
	return false
}

// Error makes a Code a target for errors.Is.
func (c Code) Error() string { return c.String() }

// ErrClosed is returned by a producer, consumer or broker that was closed.
var ErrClosed = &Error{Code: CodeClosed, Partition: AnyPartition, Message: "it was closed before this call"}

// ErrUnsupported is the error for a feature that a backend doesn't have.
var ErrUnsupported = &Error{Code: CodeUnsupported, Partition: AnyPartition, Message: "this broker doesn't have the feature"}

// CodeOf returns the code of the *Error in err's chain, and CodeInternal if there
// is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// IsRetryable reports whether err's chain has an *Error that is retryable.
func IsRetryable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Retryable
}
