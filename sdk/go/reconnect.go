package messageproxy

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// waitToReconnect waits until it is worthwhile to open another stream on conn, or
// ctx ends: until conn is connected if it can't connect (it goes on trying, with a
// back-off of its own), else for the back-off.
func waitToReconnect(ctx context.Context, conn *grpc.ClientConn, retry *backoff) {
	if conn.GetState() == connectivity.TransientFailure {
		conn.WaitForStateChange(ctx, connectivity.TransientFailure)
		return
	}
	sleep(ctx, retry.next(), nil)
}

// endsForGood reports whether a stream that ended with e would only end with it
// again. Some codes decide that whatever the server says; the others by
// e.Retryable.
func endsForGood(e *Error) bool {
	switch e.Code {
	case CodeInvalidArgument, CodeTopicNotFound, CodePartitionNotFound, CodeSubscriptionConflict,
		CodeUnauthenticated, CodePermissionDenied, CodeUnsupported:
		return true
	case CodeShuttingDown, CodeBrokerUnavailable, CodeConsumeFailed, CodeAckFailed, CodeAckTimeout,
		CodeResourceExhausted, CodeInternal:
		return false
	default:
		return !e.Retryable
	}
}
