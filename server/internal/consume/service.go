package consume

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// Config holds the figures of the consume side. Zero means the default.
type Config struct {
	// MaxUnackedMessages is how many unACKed messages a client may hold (C2).
	// Default 1,000.
	MaxUnackedMessages int
	// MaxUnackedBytes is how many bytes of them (C2). Default 64 MiB.
	MaxUnackedBytes int64
	// AckTimeout is how long a client may hold its oldest message (C6). Default 60 s.
	AckTimeout time.Duration
	// MaxAckTimeout is what a client may ask for (C6). Default 10 min.
	MaxAckTimeout time.Duration
	// PartitionWindow is how many messages of a partition may be outstanding (C7).
	// Default 1,000.
	PartitionWindow int
	// MaxBufferedBytes is the budget of all messages that the server holds (C7), each
	// with some hundred bytes to keep track of it. From half of it on the largest
	// partitions are fetched no more, and at all of it none are. Default 1 GiB.
	MaxBufferedBytes int64
	// MaxSubscriptions is how many subscriptions there may be. Default 1,000.
	MaxSubscriptions int
	// HandoverTimeout is how long a partition waits for ACKs before it moves to
	// another server. Default 10 s.
	HandoverTimeout time.Duration
	// EvictionGrace is how long a client that was ended has to read that before its
	// connection is closed (C6). Default 10 s.
	EvictionGrace time.Duration
	// CloseTimeout bounds the closing of a consumer (C8). Default 10 s.
	CloseTimeout time.Duration
	// Logger gets what happens to subscriptions and clients. Default: nothing is
	// logged.
	Logger *slog.Logger
	// CloseConnection closes the connection that a stream's context belongs to, with
	// whatever else runs on it. Default: nothing can be closed.
	CloseConnection func(ctx context.Context)
	// LiveStreams counts the streams on the connection that a stream's context
	// belongs to. Default: it is taken that there are others.
	LiveStreams func(ctx context.Context) int
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxUnackedMessages, 1000)
	setDefault(&c.MaxUnackedBytes, 64<<20)
	setDefault(&c.AckTimeout, time.Minute)
	setDefault(&c.MaxAckTimeout, max(10*time.Minute, c.AckTimeout))
	setDefault(&c.PartitionWindow, 1000)
	setDefault(&c.MaxBufferedBytes, 1<<30)
	setDefault(&c.MaxSubscriptions, 1000)
	setDefault(&c.HandoverTimeout, 10*time.Second)
	setDefault(&c.EvictionGrace, 10*time.Second)
	setDefault(&c.CloseTimeout, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.CloseConnection == nil {
		c.CloseConnection = func(context.Context) {}
	}
	if c.LiveStreams == nil {
		c.LiveStreams = func(context.Context) int { return 1 }
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Service serves Consume streams. Its methods may be called concurrently.
type Service struct {
	broker broker.Broker
	cfg    Config
	budget budget

	mu            sync.Mutex
	subscriptions map[string]*subscription
	lastClient    coordinator.ClientID
	draining      bool
	// quiet is closed when draining and no subscription is left.
	quiet chan struct{}
	// drains is closed when draining begins.
	drains chan struct{}

	repairedHeaderKeys atomic.Int64
	// unread counts client.inTransport of the streams that were ended and may still have
	// it.
	unread atomic.Int64
}

// Stats is what a Service is doing, and has done.
type Stats struct {
	// Subscriptions and Streams are how many there are.
	Subscriptions, Streams int
	// BufferedBytes is what all messages that the server holds count in its budget.
	BufferedBytes int64
	// RepairedHeaderKeys counts header keys, of messages delivered since the start,
	// that were not valid UTF-8.
	RepairedHeaderKeys int64
}

// Stats returns a snapshot; its figures are each right, but taken one after the
// other.
func (s *Service) Stats() Stats {
	stats := Stats{BufferedBytes: s.budget.used.Load(), RepairedHeaderKeys: s.repairedHeaderKeys.Load()}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Subscriptions = len(s.subscriptions)
	for _, sub := range s.subscriptions {
		stats.Streams += sub.streams
	}
	return stats
}

// NewService returns a service over a broker. It starts nothing.
func NewService(b broker.Broker, cfg Config) *Service {
	cfg = cfg.withDefaults()
	s := &Service{
		broker:        b,
		cfg:           cfg,
		subscriptions: make(map[string]*subscription),
		quiet:         make(chan struct{}),
		drains:        make(chan struct{}),
	}
	s.budget.limit, s.budget.onFull = cfg.MaxBufferedBytes, s.wakeAll
	return s
}

// Handle serves one Consume stream until it ends. Its error is the stream's status.
func (s *Service) Handle(stream Stream) error {
	request, refused := s.receiveFirst(stream)
	if request == nil {
		return s.refuse(stream, refused)
	}
	join, invalid := parseSubscribe(request)
	if invalid != nil {
		return s.refuse(stream, invalid)
	}
	c, sub, refusal := s.attach(request.GetSubscribe(), stream)
	if refusal != nil {
		return s.refuse(stream, refusal)
	}
	join.Client = c.id
	sub.post(joined{join, c})
	go sub.read(c)
	return c.write()
}

// attach registers a stream with its subscription, which it starts if need be.
func (s *Service) attach(request *messageproxyv1.SubscribeRequest, stream Stream) (*client, *subscription, *messageproxyv1.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, nil, coordinator.ShuttingDown()
	}
	name := request.GetSubscription()
	sub := s.subscriptions[name]
	if sub == nil {
		if len(s.subscriptions) >= s.cfg.MaxSubscriptions {
			return nil, nil, wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_RESOURCE_EXHAUSTED, true,
				"this server has as many subscriptions as it takes (%d): try again later, connect to another one, "+
					"or have the limit raised", s.cfg.MaxSubscriptions)
		}
		sub = newSubscription(s, name)
		s.subscriptions[name] = sub
		go sub.run()
	}
	sub.streams++
	s.lastClient++
	return newClient(s, s.lastClient, request.GetClientName(), stream, sub.log), sub, nil
}

// detach is called when a stream's reader has posted its last event.
func (s *Service) detach(sub *subscription) {
	s.mu.Lock()
	sub.streams--
	s.mu.Unlock()
	sub.mailbox.wake()
}

// forget removes a subscription that nobody uses. It answers false if a stream has
// come meanwhile.
func (s *Service) forget(sub *subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.streams > 0 || !sub.mailbox.isEmpty() {
		return false
	}
	delete(s.subscriptions, sub.name)
	if s.draining && len(s.subscriptions) == 0 {
		close(s.quiet)
	}
	return true
}

// Drain refuses new streams, tells every client that the server shuts down, and
// returns when all of them have ACKed what they held, or are gone, and every
// consumer is closed with its ACKs durable. When ctx ends, it ends the streams that
// are left, closes the consumers, which is bounded by Config.CloseTimeout, and
// returns ctx's error. Call it once.
func (s *Service) Drain(ctx context.Context) error {
	s.startDraining()
	select {
	case <-s.quiet:
		return nil
	case <-ctx.Done():
	}
	s.postAll(coordinator.DrainTimeout{})
	<-s.quiet
	return ctx.Err()
}

func (s *Service) startDraining() {
	s.mu.Lock()
	s.draining = true
	close(s.drains)
	if len(s.subscriptions) == 0 {
		close(s.quiet)
	}
	s.mu.Unlock()
	s.postAll(coordinator.Drain{})
}

// wakeAll has every subscription look at the memory budget.
func (s *Service) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		sub.mailbox.wake()
	}
}

func (s *Service) postAll(e coordinator.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subscriptions {
		sub.post(e)
	}
}
