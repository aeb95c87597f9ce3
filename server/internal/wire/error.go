package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// MaxErrorText is the largest Error.message in bytes; longer ones are cut.
const MaxErrorText = 1024

// errorCodes maps every broker.Code to its ErrorCode.
var errorCodes = map[broker.Code]messageproxyv1.ErrorCode{
	broker.CodeInternal:          messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL,
	broker.CodeInvalidArgument:   messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT,
	broker.CodeTopicNotFound:     messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND,
	broker.CodePartitionNotFound: messageproxyv1.ErrorCode_ERROR_CODE_PARTITION_NOT_FOUND,
	broker.CodeMessageTooLarge:   messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE,
	broker.CodeUnavailable:       messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE,
	broker.CodeUnknownOutcome:    messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME,
	broker.CodeUnauthenticated:   messageproxyv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED,
	broker.CodePermissionDenied:  messageproxyv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED,
	broker.CodeUnsupported:       messageproxyv1.ErrorCode_ERROR_CODE_UNSUPPORTED,
	broker.CodeClosed:            messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN,
}

// Error turns an error of the broker contract into one for clients: the code by
// a table, the text and whether to try again from the error itself. A closed
// producer or consumer means that this server is shutting down, which is worth
// trying again elsewhere. The end of a context means that the broker did not
// answer in time. Errors of any other kind are INTERNAL. Error of nil is nil.
func Error(err error) *messageproxyv1.Error {
	if err == nil {
		return nil
	}
	broken, ok := errors.AsType[*broker.Error](err)
	switch {
	case ok && broken.Code == broker.CodeClosed:
		return NewError(errorCodes[broken.Code], true, "the server is shutting down: %v", err)
	case ok:
		// The code goes out beside the text, which needn't begin with its name.
		text := strings.TrimPrefix(err.Error(), broken.Code.String()+": ")
		return NewError(errorCodes[broken.Code], broken.Retryable, "%s", text)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return NewError(messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE, true,
			"the broker did not answer in time: %v", err)
	}
	return NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, false, "internal error: %v", err)
}

// NewError returns an Error whose message says, for a person, what happened and
// what to do. The text may quote what a client sent, at best with Quote: it is
// repaired to valid UTF-8 and cut at MaxErrorText bytes.
func NewError(code messageproxyv1.ErrorCode, retryable bool, format string, args ...any) *messageproxyv1.Error {
	return &messageproxyv1.Error{
		Code:      code,
		Message:   shorten(Text(fmt.Sprintf(format, args...)), MaxErrorText),
		Retryable: retryable,
	}
}
