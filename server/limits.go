package server

import (
	"sync/atomic"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// maxConnections is well above the number of streams: a connection that is closed
// can't be told why, and a stream that is refused can.
func maxConnections(cfg Config) int { return 2 * cfg.MaxStreams }

// streamLimit counts the open streams of a server and refuses those above its
// limit. Each costs memory that no budget counts: see the guarantees.
type streamLimit struct {
	max  int64
	open atomic.Int64
}

// intercept refuses streams, of whichever service, when there are too many.
func (l *streamLimit) intercept(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	defer l.open.Add(-1)
	if l.open.Add(1) > l.max {
		return l.refuse(ss, info.FullMethod)
	}
	return handler(srv, ss)
}

// refuse tells the client twice, as any stream that this server ends.
func (l *streamLimit) refuse(ss grpc.ServerStream, method string) error {
	e := wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, true,
		"this server has as many streams as it takes (%d): try again later, connect to another one, or have the limit raised", l.max)
	var last any
	switch method {
	case messageproxyv1.MessageProxy_Produce_FullMethodName:
		last = &messageproxyv1.ProduceResponse{TerminalError: e}
	case messageproxyv1.MessageProxy_Consume_FullMethodName:
		last = &messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_TerminalError{TerminalError: e}}
	default:
		return wire.Status(e)
	}
	if err := ss.SendMsg(last); err != nil {
		return err
	}
	return wire.Status(e)
}
