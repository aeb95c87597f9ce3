package membroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// Producer stores messages, in the order in which they come, from one goroutine:
// run, which alone calls the callbacks and ends with Close.
type Producer struct {
	b    *Broker
	opts broker.ProducerOptions
	wake chan struct{} // has room for one: "look again"
	done chan struct{} // closed when run has returned

	mu       sync.Mutex
	queue    []outgoing // not yet taken by run
	accepted uint64     // how many messages were ever queued
	answered uint64     // how many of them were answered; they are answered in order
	flushes  []flush
	closed   bool
}

var _ broker.Producer = (*Producer)(nil)

// outgoing is a message on its way. Once taken from the queue it is run's alone.
type outgoing struct {
	message  *broker.OutgoingMessage
	done     func(broker.MessageReceipt, error)
	accepted time.Time
	// sent: the message reached the broker, or may have, and the answer was lost.
	sent bool
	// stored: it is in the log, and receipt says where.
	stored  bool
	receipt broker.MessageReceipt
	err     error
}

// flush is a call of Flush, which waits until upTo messages are answered.
type flush struct {
	upTo uint64
	done chan struct{}
}

// NewProducer implements broker.Broker.
func (b *Broker) NewProducer(ctx context.Context, opts broker.ProducerOptions) (broker.Producer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opts.Timeout < 0 || opts.MaxMessageBytes < 0 {
		return nil, invalid("the timeout and the largest message can't be negative")
	}
	setDefault(&opts.Timeout, 30*time.Second)
	setDefault(&opts.MaxMessageBytes, 16<<20)
	p := &Producer{b: b, opts: opts, wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, broker.ErrClosed
	}
	b.producers[p] = struct{}{}
	go p.run()
	return p, nil
}

// ProduceAsync implements broker.Producer.
func (p *Producer) ProduceAsync(message *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		done(broker.MessageReceipt{}, broker.ErrClosed)
		return
	}
	p.accepted++
	p.queue = append(p.queue, outgoing{message: message, done: done, accepted: time.Now()})
	first := len(p.queue) == 1
	p.mu.Unlock()
	if first {
		p.wakeUp()
	}
}

// Flush implements broker.Producer.
func (p *Producer) Flush(ctx context.Context) error {
	p.mu.Lock()
	if p.answered == p.accepted {
		p.mu.Unlock()
		return nil
	}
	f := flush{upTo: p.accepted, done: make(chan struct{})}
	p.flushes = append(p.flushes, f)
	p.mu.Unlock()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements broker.Producer.
func (p *Producer) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wakeUp()
	<-p.done
	p.b.mu.Lock()
	delete(p.b.producers, p)
	p.b.mu.Unlock()
	return nil
}

func (p *Producer) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run stores what is queued until the producer is closed.
func (p *Producer) run() {
	defer close(p.done)
	var pending, taken []outgoing
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var closed bool
		taken, closed = p.take(taken)
		pending = append(pending, taken...)
		clear(taken)
		if closed {
			abandon(pending)
			p.answer(pending)
			return
		}
		n, retryAt := p.b.store(p.opts, pending)
		p.answer(pending[:n])
		pending = compact(pending, n)
		if n > 0 {
			continue
		}
		p.wait(timer, retryAt)
	}
}

// wait returns when there is something new to do, or at a time if it isn't zero.
func (p *Producer) wait(timer *time.Timer, until time.Time) {
	var timeout <-chan time.Time
	if !until.IsZero() {
		timer.Reset(time.Until(until))
		timeout = timer.C
	}
	select {
	case <-p.wake:
	case <-timeout:
	}
}

// take swaps the queue for an empty one.
func (p *Producer) take(empty []outgoing) (queued []outgoing, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	queued = p.queue
	p.queue = empty[:0]
	return queued, p.closed
}

// answer calls the callbacks and then the flushes that waited for them.
func (p *Producer) answer(answered []outgoing) {
	for i := range answered {
		answered[i].done(answered[i].receipt, answered[i].err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered += uint64(len(answered))
	waiting := p.flushes[:0]
	for _, f := range p.flushes {
		if f.upTo > p.answered {
			waiting = append(waiting, f)
			continue
		}
		close(f.done)
	}
	p.flushes = waiting
}

// abandon answers for messages that the closed producer can't store any more.
func abandon(pending []outgoing) {
	for i := range pending {
		o := &pending[i]
		o.receipt = broker.MessageReceipt{}
		o.err = broker.ErrClosed
		if o.sent {
			o.err = unknownOutcome(o.message.Topic)
		}
	}
}

func compact(pending []outgoing, n int) []outgoing {
	rest := copy(pending, pending[n:])
	clear(pending[rest:])
	return pending[:rest]
}

func unknownOutcome(topic string) *broker.Error {
	return &broker.Error{
		Code: broker.CodeUnknownOutcome, Topic: topic, Partition: broker.AnyPartition,
		Message: "the broker's answer was lost; the message may be stored",
	}
}

func timedOut(topic string, timeout time.Duration) *broker.Error {
	return &broker.Error{
		Code: broker.CodeUnavailable, Topic: topic, Partition: broker.AnyPartition, Retryable: true,
		Message: fmt.Sprintf("the broker could not be reached for %v; the message is not stored", timeout),
	}
}
