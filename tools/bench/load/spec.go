// Package load has the clients that put a load on Kafka, on the bare server and on
// the proxy, and count what comes of it. The clients of the generated stubs are the
// same for the bare server and for the proxy: only the address differs.
//
// A load runs in a process of its own, so that no measurement inherits the heap of
// the one before.
package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind says what a load does, and by what means.
type Kind string

// The kinds of loads. Direct ones speak to Kafka, those of a stream use the
// generated stubs, those of the SDK the Go SDK.
const (
	Fill          Kind = "fill" // messages for consumers to find; not measured
	DirectProduce Kind = "direct produce"
	DirectConsume Kind = "direct consume"
	StreamProduce Kind = "stream produce"
	StreamConsume Kind = "stream consume"
	SDKProduce    Kind = "sdk produce"
	SDKConsume    Kind = "sdk consume"
)

// Spec says what to do.
type Spec struct {
	Kind Kind `json:"kind"`
	// Kafka is where the direct clients connect to, Target where the others do.
	Kafka  []string `json:"kafka,omitempty"`
	Target string   `json:"target,omitempty"`

	Topic string `json:"topic"`
	// Subscription is the subscription's name, or the consumer group's.
	Subscription string `json:"subscription,omitempty"`
	// Partitions is how many the topic has.
	Partitions int `json:"partitions"`
	// Clients is how many clients share the work, each with a connection of its own.
	Clients    int `json:"clients"`
	ValueBytes int `json:"value_bytes"`

	// Warmup messages come before the measurement begins, Messages are measured.
	Warmup   int64 `json:"warmup"`
	Messages int64 `json:"messages"`
	// Outstanding is how many messages a producing client has unanswered. Zero, for
	// a direct client: as many as its library buffers by default.
	Outstanding int `json:"outstanding,omitempty"`
	// Frame is how many messages the clients of the stubs put in a request.
	Frame int `json:"frame,omitempty"`

	// Processes are those whose usage is measured beside the load's own, by name.
	Processes map[string]int `json:"processes,omitempty"`
	// Timeout bounds the whole load.
	Timeout time.Duration `json:"timeout"`
}

// Self is the name of the load's own process in a Result.
const Self = "client"

// Result is what came of it.
type Result struct {
	// Messages were measured, and took so many Seconds.
	Messages int64   `json:"messages"`
	Seconds  float64 `json:"seconds"`
	// CPU is the processor time in seconds that was used meanwhile, and Peak the most
	// memory in bytes that was ever used, by process.
	CPU  map[string]float64 `json:"cpu_seconds"`
	Peak map[string]int64   `json:"peak_bytes"`

	// Done is every message, those of the warm-up and those that came after the
	// measurement too: produced with a receipt, or received and ACKed.
	Done int64 `json:"done"`
	// Repeated messages were received more than once, and are not counted again.
	Repeated int64 `json:"repeated,omitempty"`
}

// Rate is in messages a second.
func (r Result) Rate() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Messages) / r.Seconds
}

// PerMillion is the processor time in seconds that a process used for a million
// messages.
func (r Result) PerMillion(process string) float64 {
	if r.Messages == 0 {
		return 0
	}
	return r.CPU[process] / float64(r.Messages) * 1e6
}

// Run does what spec says. An error means that a message was lost or refused, or
// that not all went through in time; a Result without an error counts every one.
func Run(ctx context.Context, spec Spec) (Result, error) {
	run, ok := map[Kind]func(context.Context, Spec, *meter) (counts, error){
		Fill:          fill,
		DirectProduce: directProduce,
		DirectConsume: directConsume,
		StreamProduce: streamProduce,
		StreamConsume: streamConsume,
		SDKProduce:    sdkProduce,
		SDKConsume:    sdkConsume,
	}[spec.Kind]
	if !ok {
		return Result{}, fmt.Errorf("there is no load %q", spec.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	m := newMeter(spec)
	counts, err := run(ctx, spec, m)
	if err == nil && !m.isDone() {
		err = errors.New("it ended too early")
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w, after %d of %d messages", spec.Kind, err, m.total.Load(), m.last)
	}
	result, err := m.result()
	result.Done, result.Repeated = counts.done, counts.repeated
	return result, err
}

// counts are those of a whole load.
type counts struct{ done, repeated int64 }

// share is how many of the messages the client with this number has to produce.
func (s Spec) share(client int) int64 {
	all, clients := s.Warmup+s.Messages, int64(s.Clients)
	share := all / clients
	if int64(client) < all%clients {
		share++
	}
	return share
}
