package messageproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// Subscription is a named, durable reading position over some topics, shared by
// all clients that give the same name. Make one with Client.Subscription.
type Subscription struct {
	client *Client
	name   string
	topics []string
}

// Subscription names a subscription over topics. Nothing happens until Consume.
// All clients of one subscription give the same topics.
func (c *Client) Subscription(name string, topics ...string) *Subscription {
	return &Subscription{client: c, name: name, topics: slices.Clone(topics)}
}

// Consume joins the subscription, on a connection of its own, and calls handler
// with its messages until ctx ends, a handler fails for good, or the server ends
// the stream with an error that trying again won't help. After anything else it
// connects again, with back-off. It may be called several times at once; each
// call is a member of the subscription.
//
// A handler that returns nil ACKs its message. One that returns an error or
// panics is called again, see WithAttempts. Messages of a partition are handled
// one after another, in order; several partitions at once, each on a goroutine of
// its own. See WithMaxHandlers and WithKeyWorkers for other ways.
//
// Delivery is at least once: a message may come again after a lost connection,
// here or at another client. When the connection is lost or a partition moves to
// another server, messages that haven't begun are dropped, the contexts of
// running handlers are cancelled, and the partition's next handler starts only
// when its predecessor has returned; so a handler that ignores its context holds
// its partition up, until the server's ACK timeout at the latest gives it to
// someone else. The context of a handler has the values of ctx, but does not end
// with it.
//
// When ctx ends, Consume stops in good order: it asks for no more messages, waits
// for running handlers (WithDrainTimeout), sends their ACKs, leaves, and returns
// nil, since it did what was asked. It does the same, and returns the error, when
// a handler fails for good (*HandlerError, or what the FailureHandler returned)
// and when the client is closed (ErrClosed). An error that matches
// ErrHandlersRunning says that handlers were left behind.
//
// Consume returns the server's *Error for CodeInvalidArgument, CodeTopicNotFound,
// CodePartitionNotFound, CodeSubscriptionConflict, CodeUnauthenticated,
// CodePermissionDenied and CodeUnsupported; it connects again after
// CodeShuttingDown, CodeBrokerUnavailable, CodeConsumeFailed, CodeAckFailed,
// CodeAckTimeout, CodeResourceExhausted and CodeInternal; any other code counts
// by its Retryable.
func (s *Subscription) Consume(ctx context.Context, handler func(ctx context.Context, m *Message) error, opts ...ConsumeOption) error {
	config, err := newConsumeConfig(opts)
	if err != nil {
		return err
	}
	if err := s.validate(handler); err != nil {
		return err
	}
	if s.client.closed.Err() != nil {
		return ErrClosed
	}
	conn, err := s.client.config.dial(s.client.target)
	if err != nil {
		return err
	}
	c := newConsumer(context.WithoutCancel(ctx), s, config, conn, handler)
	defer c.cancelHandlers(errDrained)
	defer conn.Close() //nolint:errcheck // it only says that it was closed before
	return c.run(ctx)
}

// validate says why Consume can't be called so. The rest is the server's to say.
func (s *Subscription) validate(handler func(context.Context, *Message) error) error {
	if handler == nil {
		return &Error{Code: CodeInvalidArgument, Message: "Consume: the handler is nil"}
	}
	for _, name := range append([]string{s.name}, s.topics...) {
		if !utf8.ValidString(name) {
			return &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf("Consume: %q is not valid UTF-8, which subscriptions and topics must be", name)}
		}
	}
	return nil
}

// consumer is one call of Consume. The calling goroutine opens one session after
// another; each has a receiver and a sender; runners call handlers, as many as
// lanes have messages. Its mu guards the state of all of them, and is never held
// across I/O or a handler.
type consumer struct {
	client       *Client
	subscription *Subscription
	config       *consumeConfig
	handler      func(context.Context, *Message) error
	conn         *grpc.ClientConn
	// began is the zero of the clock that retries go by.
	began time.Time

	// values is the caller's context, without its end.
	values context.Context
	// handlerCtx is the parent of all handlers' contexts.
	handlerCtx     context.Context
	cancelHandlers context.CancelCauseFunc
	// open ends, and with it everything that waits, when no more handlers may begin.
	open context.Context
	shut context.CancelFunc
	// idle: no handler is running. Capacity 1.
	idle chan struct{}

	mu    sync.Mutex
	lanes lanes
	// stopErr is why open has ended, if it was a handler.
	stopErr error
	// drainBy is when to stop waiting for handlers; zero until that begins.
	drainBy time.Time
}

// newConsumer makes a consumer; ctx has the values for handlers and streams, and
// doesn't end.
func newConsumer(ctx context.Context, s *Subscription, config *consumeConfig, conn *grpc.ClientConn, handler func(context.Context, *Message) error) *consumer {
	c := &consumer{
		client:       s.client,
		subscription: s,
		config:       config,
		handler:      handler,
		conn:         conn,
		began:        time.Now(),
		idle:         make(chan struct{}, 1),
		lanes:        newLanes(config),
	}
	c.values = ctx
	c.handlerCtx, c.cancelHandlers = context.WithCancelCause(ctx)
	c.open, c.shut = context.WithCancel(context.Background())
	return c
}

// run opens sessions until one is the last.
func (c *consumer) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.stop(nil) })()
	defer context.AfterFunc(c.client.closed, func() { c.stop(ErrClosed) })()
	retry := backoff{min: c.client.config.minBackoff, max: c.client.config.maxBackoff}
	for {
		reason := c.runSession(&retry)
		if c.open.Err() != nil {
			break
		}
		c.event(Event{Kind: EventDisconnected, Err: reason})
		if endsForGood(reason) {
			c.stop(reason)
			break
		}
		waitToReconnect(c.open, c.conn, &retry)
	}
	running := c.waitForHandlers(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if running == nil {
		return c.stopErr
	}
	return errors.Join(c.stopErr, running)
}

// runSession opens a stream and serves it until it is lost or the consumer
// stops; then it leaves in good order. It returns why the stream ended.
func (c *consumer) runSession(retry *backoff) *Error {
	ctx, cancel := context.WithCancel(c.values)
	defer cancel()
	stopConnecting := context.AfterFunc(c.open, cancel)
	stream, err := messageproxyv1.NewMessageProxyClient(c.conn).Consume(ctx)
	if !stopConnecting() && err == nil {
		err = ctx.Err() // the stream is cancelled, or about to be
	}
	if err != nil {
		return streamError(err)
	}
	s := newSession(ctx, c, stream)
	received := make(chan *Error, 1)
	var goroutines sync.WaitGroup
	goroutines.Go(func() {
		received <- s.receive()
		cancel() // ends the sender
	})
	goroutines.Go(s.send)
	reason := c.serve(s, received, cancel)
	cancel()
	goroutines.Wait()
	c.endSession(s, reason)
	if s.progressed || time.Since(s.started) > c.client.config.maxBackoff {
		retry.reset()
	}
	return reason
}

// serve waits for the end of the session, or the consumer's, which it brings
// about in good order: leave, handlers, ACKs, half-close.
func (c *consumer) serve(s *session, received <-chan *Error, cancel func()) *Error {
	select {
	case reason := <-received:
		return reason
	case <-c.open.Done():
	}
	c.mu.Lock()
	s.leaving = true
	c.mu.Unlock()
	signal(s.wake)
	_ = c.waitForHandlers(s.ctx) // run looks again

	c.mu.Lock()
	s.finished = true
	c.mu.Unlock()
	signal(s.wake)
	defer time.AfterFunc(leaveTimeout, cancel).Stop()
	return <-received
}

// endSession drops what hasn't begun of a session and cancels what has. reason is
// why the session ended, or nil.
func (c *consumer) endSession(s *session, reason *Error) {
	cause := errStreamLost
	if reason != nil {
		cause = fmt.Errorf("%w: %w", errStreamLost, reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range s.live {
		s.endPartitionLocked(p, cause)
	}
	c.lanes.purge(func(t task) bool { return t.partition.session == s })
}

// stop lets no more handlers begin. err is what Consume returns, unless there
// was another before.
func (c *consumer) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopLocked(err)
}

func (c *consumer) stopLocked(err error) {
	if c.open.Err() != nil {
		return
	}
	c.stopErr = err
	c.shut()
	c.lanes.purge(func(task) bool { return true })
}

// waitForHandlers waits until no handler runs, at most for what is left of the
// drain timeout; then it cancels the handlers' contexts and waits a little more.
// When ctx ends it stops waiting.
func (c *consumer) waitForHandlers(ctx context.Context) error {
	c.mu.Lock()
	if c.drainBy.IsZero() {
		c.drainBy = time.Now().Add(c.config.drainTimeout)
	}
	drainBy := c.drainBy // the same for each call
	c.mu.Unlock()
	if c.waitIdle(ctx, time.Until(drainBy)) {
		return nil
	}
	if ctx.Err() == nil {
		c.cancelHandlers(errDrained)
	}
	if c.waitIdle(ctx, time.Until(drainBy.Add(cancelGrace))) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%w: %d did not return within the drain timeout of %v", ErrHandlersRunning, c.lanes.running, c.config.drainTimeout)
}

// waitIdle waits until no handler runs, for at most d or until ctx ends, and
// reports whether none does.
func (c *consumer) waitIdle(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.mu.Lock()
		running := c.lanes.running
		c.mu.Unlock()
		if running == 0 {
			return true
		}
		select {
		case <-c.idle:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

const (
	// cancelGrace is how long handlers have to return once their contexts are
	// cancelled and Consume has nothing else to do.
	cancelGrace = time.Second
	// leaveTimeout bounds how long the last ACKs and the end of the stream may take.
	leaveTimeout = 5 * time.Second
)

// event logs what happened and passes it on.
func (c *consumer) event(e Event) {
	log := c.client.config.logger.With("subscription", c.subscription.name)
	switch e.Kind {
	case EventConnected:
		log.Info("subscribed", "max_unacked", e.MaxUnacked, "ack_timeout", e.AckTimeout)
	case EventAssigned:
		log.Info("partitions assigned", "partitions", e.Partitions)
	case EventWithdrawn:
		log.Info("partitions withdrawn", "partitions", e.Partitions, "time_left", e.TimeLeft)
	case EventTrouble:
		log.Warn("the server has trouble with the broker", "error", e.Err)
	case EventRecovered:
		log.Info("the server's trouble with the broker is over", "code", e.Err.Code.String())
	case EventNotice:
		log.Warn("notice from the server", "error", e.Err)
	case EventDisconnected:
		log.Warn("the stream has ended", "error", e.Err)
	}
	c.config.observe(e)
}
