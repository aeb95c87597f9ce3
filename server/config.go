package server

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"google.golang.org/grpc"
)

// Config has the figures that a server works with. Start from DefaultConfig and
// change what differs; New refuses a Config that doesn't pass Validate. A Config
// is not changed by the server and may be used for several.
type Config struct {
	Consume ConsumeConfig
	Produce ProduceConfig

	// MaxStreams is how many streams, of all clients and of all kinds, may be open at
	// once. Further ones are refused with RESOURCE_EXHAUSTED. Connections above twice
	// as many are closed. Default 10,000; at least 1.
	MaxStreams int

	// DrainTimeout is how long a server that shuts down waits for consumers to ACK
	// what they hold and for the broker to answer what was produced, before it
	// ends their streams. Default 30 seconds; more than 0.
	DrainTimeout time.Duration

	// Logger receives what the server has to say; never a payload, a key or a
	// secret, and nothing per message above the debug level. Default:
	// slog.Default().
	Logger *slog.Logger

	// ServerOptions are added to those of the gRPC server: credentials, further
	// interceptors (grpc.ChainStreamInterceptor; they run inside those that log
	// and that recover from panics), stats handlers. Default: none.
	ServerOptions []grpc.ServerOption
}

// ConsumeConfig has the figures of the consume side.
type ConsumeConfig struct {
	// MaxUnackedMessages is how many messages a client may hold without having
	// ACKed them. A client can lower its own. Default 1,000; at least 1.
	MaxUnackedMessages int

	// MaxUnackedBytes is how many bytes (key, value and headers) a client may hold
	// without having ACKed them. A message that is larger still goes out, alone.
	// Default 64 MiB; at least 1.
	MaxUnackedBytes int64

	// AckTimeout is how long a client may take over its oldest unacknowledged
	// message, unless it asks for another time. Then it is disconnected. Default
	// 60 seconds; at least 1 second, at most MaxAckTimeout.
	AckTimeout time.Duration

	// MaxAckTimeout is the longest ACK timeout that a client may ask for. Default
	// 10 minutes; at least 1 second.
	MaxAckTimeout time.Duration

	// PartitionWindow is how many messages of a partition may be fetched and not
	// yet durably acknowledged, per subscription. Default 1,000; at least 1.
	PartitionWindow int

	// MaxBufferedBytes is how many bytes of messages the whole server holds, each
	// message with 320 bytes to keep track of it. From half of it on the largest
	// partitions are not fetched any more; at all of it none are. Default 1 GiB; at
	// least 1.
	MaxBufferedBytes int64

	// MaxSubscriptions is how many subscriptions clients may have open at once, by
	// name. Each is a member of its own at the broker. Clients of further ones are
	// refused with RESOURCE_EXHAUSTED. Default 1,000; at least 1.
	MaxSubscriptions int

	// HandoverTimeout is how long clients may go on ACKing what they hold of a
	// partition that moves to another server. Default 10 seconds; more than 0, at
	// most 5 minutes.
	HandoverTimeout time.Duration

	// EvictionGrace is how long a client that was disconnected has to read its
	// terminal error before its connection is closed. Default 10 seconds; more
	// than 0.
	EvictionGrace time.Duration

	// CloseTimeout is how long a subscription that nobody is connected to any more
	// may take to make its ACKs durable and to leave the broker. Default 10
	// seconds; more than 0.
	CloseTimeout time.Duration
}

// ProduceConfig has the figures of the produce side.
type ProduceConfig struct {
	// MaxOutstandingMessages is how many messages of one stream may await their
	// result before the server stops reading the stream. Default 1,000; at least 1.
	MaxOutstandingMessages int

	// MaxOutstandingBytes is how many bytes of messages of the whole server may
	// await the broker's answer. Default 256 MiB; at least MaxMessageBytes.
	MaxOutstandingBytes int64

	// Timeout is how long the server tries to store a message. Default 30 seconds;
	// at least 1 second.
	Timeout time.Duration

	// MaxMessageBytes is the largest message (key, value and headers) that is
	// accepted. Default 16 MiB; at least 1, at most 1 GiB.
	MaxMessageBytes int

	// MaxRequestBytes is the largest request, of both sides, that is received; twice
	// MaxMessageBytes always is. A larger one ends its stream. Default 64 MiB; at
	// least 1, at most 2 GiB.
	MaxRequestBytes int
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// DefaultConfig returns the figures that suit most servers.
func DefaultConfig() Config {
	return Config{
		Consume: ConsumeConfig{
			MaxUnackedMessages: 1000,
			MaxUnackedBytes:    64 * mib,
			AckTimeout:         60 * time.Second,
			MaxAckTimeout:      10 * time.Minute,
			PartitionWindow:    1000,
			MaxBufferedBytes:   1 * gib,
			MaxSubscriptions:   1000,
			HandoverTimeout:    10 * time.Second,
			EvictionGrace:      10 * time.Second,
			CloseTimeout:       10 * time.Second,
		},
		Produce: ProduceConfig{
			MaxOutstandingMessages: 1000,
			MaxOutstandingBytes:    256 * mib,
			Timeout:                30 * time.Second,
			MaxMessageBytes:        16 * mib,
			MaxRequestBytes:        64 * mib,
		},
		MaxStreams:   10_000,
		DrainTimeout: 30 * time.Second,
	}
}

// FieldError says which field of a Config can't be used, and what to do.
type FieldError struct {
	// Field is the path of the field, such as "Consume.AckTimeout".
	Field string
	// Value is what the field holds.
	Value any
	// Problem says what is allowed.
	Problem string
	// Other is the path of the field that this one contradicts, or empty.
	Other string
}

// Error names the field, its value and what is allowed.
func (e *FieldError) Error() string {
	if e.Other != "" {
		return fmt.Sprintf("%s is %v: %s %s", e.Field, e.Value, e.Problem, e.Other)
	}
	return fmt.Sprintf("%s is %v: %s", e.Field, e.Value, e.Problem)
}

// FieldErrors returns every FieldError that err (of Validate) holds.
func FieldErrors(err error) []*FieldError {
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return nil
	}
	var found []*FieldError
	for _, e := range joined.Unwrap() {
		if fe, ok := errors.AsType[*FieldError](e); ok {
			found = append(found, fe)
		}
	}
	return found
}

// Validate returns nil, or the *FieldErrors of all fields that can't be used,
// joined by errors.Join.
func (c Config) Validate() error {
	var v validator
	v.validateConsume(c.Consume)
	v.validateProduce(c.Produce)
	v.number("MaxStreams", int64(c.MaxStreams), 1, math.MaxInt32)
	v.moreThanZero("DrainTimeout", c.DrainTimeout)
	return errors.Join(v.errs...)
}

type validator struct{ errs []error }

func (v *validator) validateConsume(c ConsumeConfig) {
	v.number("Consume.MaxUnackedMessages", int64(c.MaxUnackedMessages), 1, math.MaxInt32)
	v.number("Consume.MaxUnackedBytes", c.MaxUnackedBytes, 1, math.MaxInt64)
	v.atLeastSecond("Consume.AckTimeout", c.AckTimeout)
	v.atLeastSecond("Consume.MaxAckTimeout", c.MaxAckTimeout)
	if c.AckTimeout > c.MaxAckTimeout {
		v.contradiction("Consume.AckTimeout", c.AckTimeout, "must not be longer than", "Consume.MaxAckTimeout")
	}
	v.number("Consume.PartitionWindow", int64(c.PartitionWindow), 1, math.MaxInt32)
	v.number("Consume.MaxBufferedBytes", c.MaxBufferedBytes, 1, math.MaxInt64)
	v.number("Consume.MaxSubscriptions", int64(c.MaxSubscriptions), 1, math.MaxInt32)
	v.moreThanZero("Consume.HandoverTimeout", c.HandoverTimeout)
	if c.HandoverTimeout > 5*time.Minute {
		v.add("Consume.HandoverTimeout", c.HandoverTimeout, "must be at most 5m")
	}
	v.moreThanZero("Consume.EvictionGrace", c.EvictionGrace)
	v.moreThanZero("Consume.CloseTimeout", c.CloseTimeout)
}

func (v *validator) validateProduce(c ProduceConfig) {
	v.number("Produce.MaxOutstandingMessages", int64(c.MaxOutstandingMessages), 1, math.MaxInt32)
	v.number("Produce.MaxMessageBytes", int64(c.MaxMessageBytes), 1, gib)
	v.number("Produce.MaxRequestBytes", int64(c.MaxRequestBytes), 1, math.MaxInt32)
	v.number("Produce.MaxOutstandingBytes", c.MaxOutstandingBytes, 1, math.MaxInt64)
	if c.MaxOutstandingBytes < int64(c.MaxMessageBytes) {
		v.contradiction("Produce.MaxOutstandingBytes", c.MaxOutstandingBytes, "must not be less than", "Produce.MaxMessageBytes")
	}
	v.atLeastSecond("Produce.Timeout", c.Timeout)
}

func (v *validator) number(field string, value, low, high int64) {
	switch {
	case value < low:
		v.add(field, value, fmt.Sprintf("must be at least %d", low))
	case value > high:
		v.add(field, value, fmt.Sprintf("must be at most %d", high))
	}
}

func (v *validator) moreThanZero(field string, value time.Duration) {
	if value <= 0 {
		v.add(field, value, "must be more than 0")
	}
}

func (v *validator) atLeastSecond(field string, value time.Duration) {
	if value < time.Second {
		v.add(field, value, "must be at least 1s")
	}
}

func (v *validator) add(field string, value any, problem string) {
	v.errs = append(v.errs, &FieldError{Field: field, Value: value, Problem: problem})
}

func (v *validator) contradiction(field string, value any, problem, other string) {
	v.errs = append(v.errs, &FieldError{Field: field, Value: value, Problem: problem, Other: other})
}
