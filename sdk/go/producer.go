package messageproxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"google.golang.org/grpc"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// producer takes messages over, has them sent on one stream at a time, and
// tells the callers what became of them. Three goroutines work for it: run
// (connects and writes), one receiver per stream, and one that calls callbacks.
// Its mu guards all state; no lock is held across I/O or a callback.
type producer struct {
	conn   *grpc.ClientConn
	client messageproxyv1.MessageProxyClient
	logger *slog.Logger
	retry  backoff // run's
	// maxMessageBytes is the largest message that is taken over.
	maxMessageBytes int

	wake         chan struct{} // capacity 1: the queue has something
	callbackWake chan struct{} // capacity 1: callbacks has something
	// closing ends when close begins, alive when nothing may go on any longer.
	closing, alive   context.Context
	beginClose, stop context.CancelFunc
	goroutines       sync.WaitGroup

	mu      sync.Mutex
	room    room
	flushes flushGroups
	// queue has what was never given to a stream, in order.
	queue pendingList
	// stream is the stream in use, or nil.
	stream *produceStream
	// callbacks are answered messages whose callbacks are due.
	callbacks []*pending
	watches   map[<-chan struct{}]*watch
	started   bool
	closed    bool
	// trouble is why there is no stream, or nil.
	trouble *Error
}

func newProducer(conn *grpc.ClientConn, config *clientConfig) *producer {
	p := &producer{
		conn:            conn,
		client:          messageproxyv1.NewMessageProxyClient(conn),
		logger:          config.logger,
		retry:           backoff{min: config.minBackoff, max: config.maxBackoff},
		maxMessageBytes: config.maxMessageBytes,
		wake:            make(chan struct{}, 1),
		callbackWake:    make(chan struct{}, 1),
		room:            room{maxMessages: config.outstandingMessages, maxBytes: config.outstandingBytes},
		flushes:         newFlushGroups(),
		watches:         map[<-chan struct{}]*watch{},
	}
	p.room.admitted = p.enqueueAdmittedLocked
	p.closing, p.beginClose = context.WithCancel(context.Background())
	p.alive, p.stop = context.WithCancel(context.Background())
	return p
}

// produce takes m over and waits for its outcome.
func (p *producer) produce(ctx context.Context, m *Message) (Receipt, error) {
	pending, err := p.enqueue(ctx, m, nil)
	if err != nil {
		return Receipt{}, err
	}
	select {
	case <-pending.answeredc:
	case <-ctx.Done():
		p.mu.Lock()
		p.abandonLocked(pending)
		p.mu.Unlock()
		<-pending.answeredc
	}
	return pending.receipt, pending.err
}

// produceAsync takes m over and has callback called with its outcome.
func (p *producer) produceAsync(ctx context.Context, m *Message, callback func(Receipt, error)) {
	if callback == nil {
		callback = func(Receipt, error) {}
	}
	if _, err := p.enqueue(ctx, m, callback); err != nil {
		callback(Receipt{}, err)
	}
}

// enqueue waits for a place and queues m.
func (p *producer) enqueue(ctx context.Context, m *Message, callback func(Receipt, error)) (*pending, error) {
	if err := m.validate(p.maxMessageBytes); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, p.notSent(ctx)
	}
	pending := newPending(ctx, m, callback)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if w := p.room.take(pending); w != nil {
		p.mu.Unlock()
		return pending, p.enqueueWhenReady(pending, w)
	}
	p.queueLocked(pending)
	p.mu.Unlock()
	return pending, nil
}

// enqueueAdmittedLocked queues a message that has waited for its place. It is done here,
// and not when its caller wakes up, since callers wake up in any order.
func (p *producer) enqueueAdmittedLocked(w *waiter) {
	if !p.closed { // else its caller gives the place back
		p.queueLocked(w.message)
	}
}

// enqueueWhenReady waits until m is queued, which it is once w has its place.
func (p *producer) enqueueWhenReady(m *pending, w *waiter) error {
	select {
	case <-w.ready:
	case <-m.ctx.Done():
	case <-p.closing.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.isQueued() {
		return nil
	}
	p.room.cancel(w)
	if p.closed {
		return ErrClosed
	}
	return p.notSentLocked(m.ctx)
}

// queueLocked queues m, which has its place.
func (p *producer) queueLocked(m *pending) {
	p.flushes.join(m)
	p.queue.pushBack(m)
	p.watchLocked(m)
	if !p.started {
		p.started = true
		p.goroutines.Go(p.run)
		p.goroutines.Go(p.runCallbacks)
	}
	signal(p.wake)
}

// answerLocked decides m's outcome, unless that was done before.
func (p *producer) answerLocked(m *pending, receipt Receipt, err error) {
	if m.answered {
		return
	}
	m.answered, m.receipt, m.err = true, receipt, err
	p.unwatchLocked(m)
	if m.callback == nil {
		close(m.answeredc)
		p.toldLocked(m)
		return
	}
	p.callbacks = append(p.callbacks, m)
	signal(p.callbackWake)
}

// toldLocked notes that m's caller knows the outcome.
func (p *producer) toldLocked(m *pending) {
	m.told = true
	p.flushes.leave(m)
	if m.off {
		p.room.give(m.size)
	}
}

// offLocked notes that nothing will come of m from any stream any more.
func (p *producer) offLocked(m *pending) {
	m.off = true
	if m.told {
		p.room.give(m.size)
	}
}

// abandonLocked answers m, whose context has ended. If m was never put on the
// wire it is withdrawn; otherwise its place stays taken until the server answers
// or the stream ends.
func (p *producer) abandonLocked(m *pending) {
	switch {
	case m.answered:
	case m.onWire:
		p.answerLocked(m, Receipt{}, unknownOutcome("the context ended before the server answered", contextError(m.ctx)))
	default:
		p.dropQueuedLocked(m, p.notSentLocked(m.ctx))
	}
}

// dropQueuedLocked answers m, which is in the queue, with err.
func (p *producer) dropQueuedLocked(m *pending, err error) {
	p.queue.remove(m)
	p.offLocked(m)
	p.answerLocked(m, Receipt{}, err)
}

func (p *producer) failQueueLocked(err error) {
	for m := p.queue.first; m != nil; m = p.queue.first {
		p.dropQueuedLocked(m, err)
	}
}

func (p *producer) notSent(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.notSentLocked(ctx)
}

// notSentLocked is the error of a message whose context ended before it was put
// on the wire.
func (p *producer) notSentLocked(ctx context.Context) error {
	if p.trouble != nil {
		return fmt.Errorf("the message was not sent: %w (no connection to the proxy: %w)", contextError(ctx), p.trouble)
	}
	return fmt.Errorf("the message was not sent: %w", contextError(ctx))
}

// signal wakes whoever waits on c, a channel of capacity 1.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
