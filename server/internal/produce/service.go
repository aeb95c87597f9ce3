package produce

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// Stream is the server's end of a Produce stream.
type Stream = grpc.BidiStreamingServer[messageproxyv1.ProduceRequest, messageproxyv1.ProduceResponse]

// Config has the figures of the produce side. Zero means the default.
type Config struct {
	// MaxOutstandingMessages is how many messages of one stream may await their
	// result before the server stops reading the stream. Default 1,000.
	MaxOutstandingMessages int
	// MaxOutstandingBytes is how many bytes of messages of all streams the producer
	// may hold, and how many of the large requests of all streams wait for that. A
	// message counts with its key, value and headers and what it takes
	// to keep track of it, some hundred bytes. One that is larger than the whole
	// budget gets through alone. Default 256 MiB.
	MaxOutstandingBytes int64
	// Timeout is how long the producer tries to store a message, the same as
	// broker.ProducerOptions.Timeout, and how long a message waits at most for its
	// share of MaxOutstandingBytes. Default 30 seconds.
	Timeout time.Duration
	// MaxMessageBytes is the largest message (key, value and headers) that is
	// accepted. Default 16 MiB.
	MaxMessageBytes int
	// Logger gets what happens to streams, at the debug level. Default: nothing is
	// logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxOutstandingMessages == 0 {
		c.MaxOutstandingMessages = 1000
	}
	if c.MaxOutstandingBytes == 0 {
		c.MaxOutstandingBytes = 256 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = 16 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Service serves Produce streams over one producer. All methods may be called
// concurrently.
type Service struct {
	producer broker.Producer
	cfg      Config
	budget   *budget
	requests requestBytes
	results  counters
	// cutOff is closed when a drain has no more time.
	cutOff chan struct{}

	mu       sync.Mutex
	streams  map[*stream]struct{}
	draining bool
	// empty is closed when the service is draining and has no streams.
	empty chan struct{}
	// cut says that cutOff is closed.
	cut bool
}

// NewService returns a service that produces with producer, which stays the
// caller's: it is closed after Drain, not by the service.
func NewService(producer broker.Producer, cfg Config) *Service {
	cfg = cfg.withDefaults()
	return &Service{
		producer: producer,
		cfg:      cfg,
		budget:   newBudget(cfg.MaxOutstandingBytes),
		requests: requestBytes{limit: cfg.MaxOutstandingBytes},
		cutOff:   make(chan struct{}),
		streams:  make(map[*stream]struct{}),
		empty:    make(chan struct{}),
	}
}

// Handle serves one Produce stream until it ends; its error is the stream's
// status. When it returns, everything that was read has been given to the producer
// or answered.
func (s *Service) Handle(client Stream) error {
	st := newStream(s, client)
	if !s.add(st) {
		return st.end(shuttingDown())
	}
	defer s.remove(st)
	defer st.letGo()
	go st.read() // ends when Recv fails, which it does at the latest when Handle has returned
	return st.write()
}

// logPanic logs what recover has returned.
func (s *Service) logPanic(what string, value any) {
	s.cfg.Logger.Error(what+": please report this", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// Drain refuses new streams, stops reading, and ends each stream with
// SHUTTING_DOWN when everything that was read from it is answered. Then it waits
// until what cancelled streams have sent is stored too. It returns nil when all
// this is done.
//
// When ctx ends first, Drain answers what the broker has not answered with
// UNKNOWN_OUTCOME, what was not given to it with SHUTTING_DOWN, and returns ctx's
// error. The streams of clients that read their results then end by themselves;
// for the others the caller closes the connections. Drain may be called twice.
func (s *Service) Drain(ctx context.Context) error {
	s.startDraining()
	select {
	case <-s.empty:
		return s.producer.Flush(ctx)
	case <-ctx.Done():
		s.cutStreams()
		return ctx.Err()
	}
}

func (s *Service) startDraining() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	for st := range s.streams {
		st.drain()
	}
	s.closeIfEmptyLocked()
}

func (s *Service) cutStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return
	}
	s.cut = true
	close(s.cutOff)
	for st := range s.streams {
		st.cut()
	}
}

// add registers a stream, unless the service is draining.
func (s *Service) add(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.streams[st] = struct{}{}
	return true
}

func (s *Service) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	s.closeIfEmptyLocked()
}

func (s *Service) closeIfEmptyLocked() {
	if s.draining && len(s.streams) == 0 {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}

// Stats is what a Service is doing, and has done.
type Stats struct {
	// Streams is how many streams are open.
	Streams int
	// OutstandingMessages and OutstandingBytes are what the producer holds: given to
	// it, and not yet called back.
	OutstandingMessages int
	OutstandingBytes    int64
	// LargeRequestBytes is the size of the large requests that are in hand.
	LargeRequestBytes int64
	// Stored, Failed and UnknownOutcome count results since the start, those of
	// cancelled streams included.
	Stored, Failed, UnknownOutcome int64
}

// Stats returns a snapshot; its figures are each right, but taken one after the
// other.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	streams := len(s.streams)
	s.mu.Unlock()
	stats := Stats{
		Streams:        streams,
		Stored:         s.results.stored.Load(),
		Failed:         s.results.failed.Load(),
		UnknownOutcome: s.results.unknown.Load(),
	}
	stats.LargeRequestBytes = s.requests.used.Load()
	stats.OutstandingMessages, stats.OutstandingBytes = s.budget.inUse()
	return stats
}

// counters count results by their kind.
type counters struct {
	stored, failed, unknown atomic.Int64
}

func (c *counters) count(r *wire.Result) {
	switch e := r.Err; {
	case e == nil:
		c.stored.Add(1)
	case e.GetCode() == messageproxyv1.ErrorCode_ERROR_CODE_UNKNOWN_OUTCOME:
		c.unknown.Add(1)
	default:
		c.failed.Add(1)
	}
}
