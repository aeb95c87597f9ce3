package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/messageproxy/messageproxy/broker"
)

// Server is the message proxy over one broker. Make it with New, and run it with
// Serve, once.
type Server struct {
	broker    broker.Broker
	cfg       Config
	log       *slog.Logger
	makeProxy makeProxy
	served    atomic.Bool
	running   atomic.Pointer[running] // nil before Serve
}

// New makes a server over b. It opens nothing: Serve does. It fails if cfg
// doesn't pass Config.Validate. b stays the caller's, who closes it after Serve
// has returned.
func New(b broker.Broker, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("server: the configuration can't be used: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Server{broker: b, cfg: cfg, log: cfg.Logger, makeProxy: newProxy}, nil
}

// Serve accepts connections on lis, which it closes, until ctx ends or the
// listener fails. Then it drains, within Config.DrainTimeout, and a few seconds or,
// if the broker is away, ConsumeConfig.CloseTimeout:
//
//   - health turns NOT_SERVING, new connections are refused, and clients are told
//     at once (GOAWAY) to connect to another server;
//   - consumers get no more messages and may ACK what they hold, and what they
//     ACKed is made durable;
//   - what producers sent is stored and answered.
//
// It returns nil if ctx has ended, whether or not the drain timeout cut something
// off, and else the listener's error, or that of opening the broker's producer. A
// broker that can't be reached is not an error: until it can, health is
// NOT_SERVING. Serve can be called once.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if s.served.Swap(true) {
		_ = lis.Close()
		return fmt.Errorf("server: Serve was called before: make another Server")
	}
	r, err := s.start(ctx, lis)
	if err != nil {
		_ = lis.Close()
		return err
	}
	s.running.Store(r)
	return r.run(ctx)
}
