package messageproxy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

var (
	errStreamLost = errors.New("the stream has ended; the message will be delivered again")
	errWithdrawn  = errors.New("the partition went to another server; the message will be delivered there")
	errGoexit     = errors.New("the handler ended its goroutine")
	errDrained    = errors.New("the drain timeout is over")
)

// verdict is what became of a message.
type verdict int

const (
	dropped verdict = iota // it isn't this client's any more, or Consume is stopping
	handled                // ACK it
	failed                 // stop Consume
)

// runHandlers is a runner: it handles messages until no lane has any.
func (c *consumer) runHandlers() {
	c.mu.Lock()
	lane, t, ok := c.lanes.pop()
	for ok {
		c.mu.Unlock()
		v, err := c.handleGuarded(lane, t)
		c.mu.Lock()
		c.finishLocked(lane, t, v, err)
		lane, t, ok = c.lanes.pop()
	}
	c.noteIdleLocked()
	c.mu.Unlock()
}

// finishLocked does what the verdict on a message says, before its lane goes on.
func (c *consumer) finishLocked(lane *lane, t task, v verdict, err error) {
	switch v {
	case handled:
		t.partition.session.ackLocked(t.partition, t.id)
	case failed:
		c.stopLocked(err)
	}
	c.lanes.done(lane)
}

// noteIdleLocked wakes whoever waits for the last handler.
func (c *consumer) noteIdleLocked() {
	if c.lanes.running == 0 {
		signal(c.idle)
	}
}

// handleGuarded is handle, for handlers that may end their goroutine
// (runtime.Goexit, which is what testing.T.FailNow does): that is a failure for
// good, and another runner goes on.
func (c *consumer) handleGuarded(lane *lane, t task) (v verdict, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.finishLocked(lane, t, failed, &HandlerError{Message: t.message, Attempts: 1, Err: errGoexit})
		go c.runHandlers()
	}()
	v, err = c.handle(t)
	returned = true
	return v, err
}

// handle calls the handler until it succeeds or the attempts run out.
func (c *consumer) handle(t task) (verdict, error) {
	var started time.Duration // since the consumer began
	if c.config.attempts > 1 {
		started = time.Since(c.began) // cheaper than time.Now
	}
	retry := backoff{min: c.config.minRetryBackoff, max: c.config.maxRetryBackoff}
	for attempt := 1; ; attempt++ {
		err := call(t.partition.ctx, theHandler, t.message, c.handler)
		if err == nil {
			return handled, nil
		}
		if t.partition.ctx.Err() != nil {
			return dropped, nil
		}
		c.logFailure("a handler failed", t, err, "attempt", attempt)
		wait := retry.next()
		if attempt == c.config.attempts || !c.mayRetry(t.partition.session, time.Since(c.began)-started+wait) {
			return c.failedForGood(t, attempt, err)
		}
		if !sleep(t.partition.ctx, wait, c.open.Done()) {
			return dropped, nil
		}
	}
}

// mayRetry reports whether another attempt may begin so long after the first
// began: within the ACK timeout, less a tenth for the ACK to arrive.
func (c *consumer) mayRetry(s *session, after time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.ackTimeout <= 0 || after < s.ackTimeout-s.ackTimeout/10
}

// failedForGood does what the options say.
func (c *consumer) failedForGood(t task, attempts int, cause error) (verdict, error) {
	if c.config.onFailure == nil {
		return failed, &HandlerError{Message: t.message, Attempts: attempts, Err: cause}
	}
	decide := func(ctx context.Context, m *Message) error { return c.config.onFailure(ctx, m, cause) }
	if err := call(t.partition.ctx, theFailureHandler, t.message, decide); err != nil {
		c.logFailure("the FailureHandler failed", t, err)
		if t.partition.ctx.Err() != nil {
			return dropped, nil
		}
		return failed, failureHandlerError(t, attempts, cause, err)
	}
	return handled, nil
}

// failureHandlerError is what Consume returns of what a FailureHandler has returned:
// that, or what there is to know about its panic.
func failureHandlerError(t task, attempts int, cause, err error) error {
	panicked, ok := errors.AsType[*PanicError](err)
	if !ok || panicked.who != theFailureHandler {
		return err
	}
	return fmt.Errorf("%w; it was called because %w", panicked, &HandlerError{Message: t.message, Attempts: attempts, Err: cause})
}

// logFailure logs an error of the application's, with its stack if it is a panic.
func (c *consumer) logFailure(what string, t task, err error, args ...any) {
	args = append(args, "subscription", c.subscription.name, "topic", t.message.Topic,
		"partition", t.message.Partition, "message_id", t.id, "error", err)
	if panicked, ok := errors.AsType[*PanicError](err); ok {
		args = append(args, "stack", string(panicked.Stack))
	}
	c.client.config.logger.Warn(what, args...)
}

// Who may panic.
const (
	theHandler        = "the handler"
	theFailureHandler = "the FailureHandler"
)

// call calls somebody's handler and makes an error of its panic.
func call(ctx context.Context, who string, m *Message, handler func(context.Context, *Message) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack(), who: who}
		}
	}()
	return handler(ctx, m)
}
