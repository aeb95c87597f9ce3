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
	// streamWindow is how much of a stream is received while nobody reads it. A message
	// that is being read may be larger: the window makes room for it.
	streamWindow = 128 * kib
	// connectionWindow is how much of a connection may be on its way. It costs nothing:
	// what comes counts against its stream.
	connectionWindow = 16 * mib
)

// serverOptions are the options of the gRPC server, whose streams that are not the
// proxy's own end with auxiliary. Windows are fixed: gRPC would let them grow to
// 16 MiB, and whoever sends faster than it is read has that kept for each stream.
func serverOptions(auxiliary context.Context, streams *streamLimit, cfg Config) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.MaxConcurrentStreams(uint32(cfg.MaxStreams)),
		grpc.MaxRecvMsgSize(receiveLimit(cfg.Produce)),
		// What is in the broker is delivered, whatever its size.
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingIdle, Timeout: pingAnswer}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.ChainStreamInterceptor(logStream(cfg.Logger), recoverStream(cfg.Logger), streams.intercept, endWith(auxiliary)),
		grpc.ChainUnaryInterceptor(logUnary(cfg.Logger), recoverUnary(cfg.Logger)),
	}
	return append(options, cfg.ServerOptions...)
}

// receiveLimit is well above the largest message that is accepted, so that one
// that is too large gets its own answer instead of ending the stream.
func receiveLimit(cfg ProduceConfig) int {
	return int(min(max(int64(cfg.MaxRequestBytes), 2*int64(cfg.MaxMessageBytes)), math.MaxInt32))
}
