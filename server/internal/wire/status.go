package wire

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// maxStatusText and maxStatusIDs bound, in bytes, what a status carries of an
// Error. The text goes out three times (percent-encoded as the status's message,
// and twice in its base64 details), and some gRPC implementations refuse more
// than 8 KiB of trailers.
const (
	maxStatusText = 640
	maxStatusIDs  = 1100
)

// statusCodes maps every ErrorCode to the code of the status that ends a stream.
var statusCodes = map[messageproxyv1.ErrorCode]codes.Code{
	messageproxyv1.ErrorCode_ERROR_CODE_UNSPECIFIED:           codes.Unknown,
	messageproxyv1.ErrorCode_ERROR_CODE_INVALID_ARGUMENT:      codes.InvalidArgument,
	messageproxyv1.ErrorCode_ERROR_CODE_TOPIC_NOT_FOUND:       codes.NotFound,
	messageproxyv1.ErrorCode_ERROR_CODE_PARTITION_NOT_FOUND:   codes.NotFound,
	messageproxyv1.ErrorCode_ERROR_CODE_MESSAGE_TOO_LARGE:     codes.InvalidArgument,
	messageproxyv1.ErrorCode_ERROR_CODE_BROKER_UNAVAILABLE:    codes.Unavailable,
	messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME:       codes.Unknown,
	messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED:        codes.Unavailable,
	messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED:            codes.Unavailable,
	messageproxyv1.ErrorCode_ERROR_CODE_NOT_HELD:              codes.FailedPrecondition,
	messageproxyv1.ErrorCode_ERROR_CODE_ACK_TIMEOUT:           codes.DeadlineExceeded,
	messageproxyv1.ErrorCode_ERROR_CODE_SUBSCRIPTION_CONFLICT: codes.FailedPrecondition,
	messageproxyv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED:       codes.Unauthenticated,
	messageproxyv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED:     codes.PermissionDenied,
	messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED:    codes.ResourceExhausted,
	messageproxyv1.ErrorCode_ERROR_CODE_SHUTTING_DOWN:         codes.Unavailable,
	messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL:              codes.Internal,
	messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED:      codes.DataLoss,
	messageproxyv1.ErrorCode_ERROR_CODE_UNSUPPORTED:           codes.Unimplemented,
}

// Status returns the gRPC status that ends a stream with e: the code of its kind,
// e's text, and e itself among the details. It stays below 8 KiB of trailers
// whatever e holds: a long text is cut and message IDs that don't fit are left
// out, so send e itself as the last response too. Status of nil is nil.
func Status(e *messageproxyv1.Error) error {
	if e == nil {
		return nil
	}
	code, ok := statusCodes[e.GetCode()]
	if !ok {
		code = codes.Unknown
	}
	small := &messageproxyv1.Error{
		Code:       e.GetCode(),
		Message:    shorten(Text(e.GetMessage()), maxStatusText),
		Retryable:  e.GetRetryable(),
		MessageIds: firstIDs(e.GetMessageIds()),
	}
	plain := status.New(code, small.GetMessage())
	detailed, err := plain.WithDetails(small)
	if err != nil { // small can always be marshalled, and code is never OK
		return plain.Err()
	}
	return detailed.Err()
}

// firstIDs returns as many of the first ids as fit in a status.
func firstIDs(ids []string) []string {
	const tagAndLength = 3 // at most, of an id that fits
	size := 0
	for i, id := range ids {
		if size += tagAndLength + len(id); size > maxStatusIDs {
			return ids[:i]
		}
	}
	return ids
}
