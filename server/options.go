package server

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// connectionTimeout bounds TLS and HTTP/2 handshakes.
	connectionTimeout = 10 * time.Second
	// maxHeaderBytes bounds the metadata of a call; gRPC would take 16 MiB.
	maxHeaderBytes = 64 * kib
	// minPing is the shortest interval at which clients may ping. gRPC clients that
	// are set to ping do so every 10 seconds or more; their timers are not exact.
	minPing = 5 * time.Second
	// A peer that has been silent for pingIdle is pinged, and is gone if it doesn't
	// answer within pingAnswer.
	pingIdle   = 30 * time.Second
	pingAnswer = 15 * time.Second
	// minReceiveBytes is the least that the receive limit is.
	minReceiveBytes = 64 * mib
)

// serverOptions are the options of the gRPC server, whose streams that are not the
// proxy's own end with auxiliary. Stream windows are left to gRPC, which fits them
// to the connection, up to 16 MiB; a fixed size would turn that off.
func serverOptions(auxiliary context.Context, cfg Config) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(receiveLimit(cfg.Produce.MaxMessageBytes)),
		// What is in the broker is delivered, whatever its size.
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingIdle, Timeout: pingAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.ChainStreamInterceptor(logStream(cfg.Logger), recoverStream(cfg.Logger), endWith(auxiliary)),
		grpc.ChainUnaryInterceptor(logUnary(cfg.Logger), recoverUnary(cfg.Logger)),
	}
	return append(options, cfg.ServerOptions...)
}

// receiveLimit is well above the largest message that is accepted, so that one
// that is too large gets its own answer instead of ending the stream.
func receiveLimit(maxMessageBytes int) int {
	return int(min(max(minReceiveBytes, 2*int64(maxMessageBytes)), math.MaxInt32))
}
