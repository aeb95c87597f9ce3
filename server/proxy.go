package server

import (
	"context"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// service is one side of the proxy: it serves streams, and ends them when the
// server drains.
type service[Stream any] interface {
	// Handle serves one stream until it ends. Its error is the stream's status.
	Handle(stream Stream) error
	// Drain ends every stream in the way of its side, and returns when that is
	// done. When ctx ends, it cuts the rest off and returns ctx's error.
	Drain(ctx context.Context) error
}

type (
	produceService = service[messageproxyv1.MessageProxy_ProduceServer]
	consumeService = service[messageproxyv1.MessageProxy_ConsumeServer]
)

// proxy hands the streams of the gRPC service to the two sides.
type proxy struct {
	messageproxyv1.UnimplementedMessageProxyServer
	produce produceService
	consume consumeService
	stats   func(*Stats) // fills in what the two sides know
}

// Produce serves a stream that produces.
func (p *proxy) Produce(stream messageproxyv1.MessageProxy_ProduceServer) error {
	defer countStream(stream.Context())()
	return p.produce.Handle(stream)
}

// Consume serves a stream that consumes.
func (p *proxy) Consume(stream messageproxyv1.MessageProxy_ConsumeServer) error {
	defer countStream(stream.Context())()
	return p.consume.Handle(stream)
}

// makeProxy makes the two sides over a broker and its producer.
type makeProxy func(b broker.Broker, producer broker.Producer, cfg Config) *proxy
