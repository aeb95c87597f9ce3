package server

import (
	"context"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// logStream says, at the debug level, when calls begin and how they end.
func logStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx := ss.Context()
		if !log.Enabled(ctx, slog.LevelDebug) {
			return handler(srv, ss)
		}
		log.DebugContext(ctx, "stream begins", "method", info.FullMethod, "peer", peerOf(ctx))
		start := time.Now()
		err := handler(srv, ss)
		logEnd(ctx, log, info.FullMethod, start, err)
		return err
	}
}

// logUnary says, at the debug level, how calls end.
func logUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		start := time.Now()
		answer, err := handler(ctx, req)
		if log.Enabled(ctx, slog.LevelDebug) {
			logEnd(ctx, log, info.FullMethod, start, err)
		}
		return answer, err
	}
}

func logEnd(ctx context.Context, log *slog.Logger, method string, start time.Time, err error) {
	log.DebugContext(ctx, "call ends", "method", method, "peer", peerOf(ctx),
		"code", status.Code(err), "took", time.Since(start))
}

func peerOf(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return "unknown"
}

// recoverStream ends a stream whose handler panics with INTERNAL and logs the
// stack; the process and its other streams go on.
func recoverStream(log *slog.Logger) grpc.StreamServerInterceptor {
	return recovery.StreamServerInterceptor(recovery.WithRecoveryHandlerContext(panicError(log)))
}

// recoverUnary does the same for calls that aren't streams.
func recoverUnary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return recovery.UnaryServerInterceptor(recovery.WithRecoveryHandlerContext(panicError(log)))
}

func panicError(log *slog.Logger) recovery.RecoveryHandlerFuncContext {
	return func(ctx context.Context, p any) error {
		method, _ := grpc.Method(ctx)
		log.ErrorContext(ctx, "a handler panicked; its call ends with INTERNAL",
			"method", method, "peer", peerOf(ctx), "panic", p, "stack", string(debug.Stack()))
		return wire.Status(wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, true,
			"the server failed at handling this call; its log says why"))
	}
}

// endWith ends the streams of health and reflection when auxiliary ends. Clients
// keep those open for as long as they live, and a drain would wait for them.
func endWith(auxiliary context.Context) grpc.StreamServerInterceptor {
	own := "/" + messageproxyv1.MessageProxy_ServiceDesc.ServiceName + "/"
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if strings.HasPrefix(info.FullMethod, own) {
			return handler(srv, ss)
		}
		ctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer context.AfterFunc(auxiliary, cancel)()
		err := handler(srv, &endingStream{ServerStream: ss, ctx: ctx})
		if auxiliary.Err() != nil {
			return status.Error(codes.Unavailable, "the server is shutting down; connect to another one")
		}
		return err
	}
}

// endingStream is a stream that ends for its handler when ctx does.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context that ends the stream.
func (s *endingStream) Context() context.Context { return s.ctx }

// RecvMsg waits for the next message, and returns io.EOF when the context ends.
// What it leaves behind then ends with the handler.
func (s *endingStream) RecvMsg(m any) error {
	received := make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return io.EOF
	}
}
