package messageproxy

import (
	"context"
	"fmt"
	"time"
)

// ConsumeOption configures one call of Consume. The zero configuration is right
// for most.
type ConsumeOption func(*consumeConfig)

// StartPosition is where a subscription begins in partitions in which it has no
// position yet.
type StartPosition int

// The start positions.
const (
	// StartEarliest begins at the oldest message.
	StartEarliest StartPosition = iota
	// StartLatest begins with what comes after the subscription was first used.
	StartLatest
)

// FailureHandler decides what becomes of a message with which the handler failed
// for good. If it returns nil the message is ACKed, and the partition goes on; an
// error stops Consume, which returns it. err is the handler's last error.
type FailureHandler func(ctx context.Context, m *Message, err error) error

type consumeConfig struct {
	maxHandlers     int // 0: as many as partitions
	keyWorkers      int // 0: by partition
	attempts        int
	minRetryBackoff time.Duration
	maxRetryBackoff time.Duration
	onFailure       FailureHandler
	maxUnacked      int           // 0: the server's limit
	ackTimeout      time.Duration // 0: the server's
	start           StartPosition
	drainTimeout    time.Duration
	observe         func(Event)
	err             error // of the first option that isn't valid
}

func newConsumeConfig(opts []ConsumeOption) (*consumeConfig, error) {
	c := &consumeConfig{
		attempts:        5,
		minRetryBackoff: 100 * time.Millisecond,
		maxRetryBackoff: 10 * time.Second,
		drainTimeout:    20 * time.Second,
		observe:         func(Event) {},
	}
	for _, opt := range opts {
		opt(c)
	}
	return c, c.err
}

// require notes the first option that isn't valid.
func (c *consumeConfig) require(ok bool, option, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = optionError(option, fmt.Sprintf(format, args...))
	}
}

// WithMaxHandlers bounds how many handlers run at once. Each partition has at
// most one at a time, so that its order is kept. Default, and 0: one per
// partition that has messages, however many these are.
func WithMaxHandlers(n int) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(n >= 0, "WithMaxHandlers", "%d is below 0", n)
		c.maxHandlers = n
	}
}

// WithKeyWorkers has n workers handle messages by key instead of by partition:
// messages of a partition with equal keys are handled one after another, in
// order; others at the same time, n at most; those without a key in no order.
//
// Messages may then be handled while earlier ones of their partition are not. A
// broker that keeps one position for each partition (Kafka) forgets such ACKs when
// the partition goes to another server, or when the last client leaves: those
// messages come again, also after a stop in good order.
//
// Default, and 0: by partition.
func WithKeyWorkers(n int) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(n >= 0, "WithKeyWorkers", "%d is below 0", n)
		c.keyWorkers = n
	}
}

// WithAttempts sets how often a handler is called with a message before it has
// failed for good, and the back-off between the calls: a random time up to a
// limit that doubles from minBackoff to maxBackoff. All attempts begin within the
// ACK timeout; when the next one couldn't, the handler has failed for good
// earlier. Messages that must stay in order wait meanwhile. Default: 5 attempts,
// 100 ms, 10 s.
func WithAttempts(attempts int, minBackoff, maxBackoff time.Duration) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(attempts >= 1, "WithAttempts", "%d attempts: at least 1 is needed", attempts)
		c.require(minBackoff >= 0 && maxBackoff >= minBackoff, "WithAttempts",
			"%v and %v: the first must not be below 0, the second not below the first", minBackoff, maxBackoff)
		c.attempts, c.minRetryBackoff, c.maxRetryBackoff = attempts, minBackoff, maxBackoff
	}
}

// WithFailureHandler has f decide what becomes of a message with which the
// handler failed for good: put it aside somewhere and return nil, for example.
// Default, and nil: Consume stops and returns a *HandlerError; the message is not
// ACKed, so it is delivered again, to this client or another.
func WithFailureHandler(f FailureHandler) ConsumeOption {
	return func(c *consumeConfig) { c.onFailure = f }
}

// SkipFailed is a FailureHandler that ACKs the message, as if it had been
// handled. The error is logged (WithLogger), nothing else remains of the message.
func SkipFailed(context.Context, *Message, error) error { return nil }

// WithMaxUnacked lowers the server's limit of messages that this client holds
// without having ACKed them, for handlers that are slow or messages that are
// large. Default, and 0: the server's limit, 1,000 unless configured otherwise.
func WithMaxUnacked(n int) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(n >= 0 && n <= 1<<31-1, "WithMaxUnacked", "%d is not between 0 and 2^31-1", n)
		c.maxUnacked = n
	}
}

// WithAckTimeout asks the server for another time that this client may take over
// its oldest message before it is thrown out; handlers that need longer ask for
// more. The server has a maximum. Default, and 0: the server's, 60 s unless
// configured otherwise.
func WithAckTimeout(d time.Duration) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(d >= 0, "WithAckTimeout", "%v is below 0", d)
		c.ackTimeout = d
	}
}

// WithStart sets where the subscription begins in partitions in which it has no
// position yet. All clients of a subscription give the same. Default:
// StartEarliest.
func WithStart(start StartPosition) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(start == StartEarliest || start == StartLatest, "WithStart", "%d is not a start position", start)
		c.start = start
	}
}

// WithDrainTimeout sets how long Consume, when it stops, waits for running
// handlers. Then it cancels their contexts, gives them a second more, and returns
// an error that matches ErrHandlersRunning if some still run; they are left
// behind. Default: 20 s.
func WithDrainTimeout(d time.Duration) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(d >= 0, "WithDrainTimeout", "%v is below 0", d)
		c.drainTimeout = d
	}
}

// WithObserver has observe called with what happens to the subscription, one
// event after another. It must not block: no message comes in meanwhile. Default:
// none.
func WithObserver(observe func(Event)) ConsumeOption {
	return func(c *consumeConfig) {
		c.require(observe != nil, "WithObserver", "the function is nil")
		c.observe = observe
	}
}
