package membroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// callTimeout bounds NewConsumer, as the contract asks.
const callTimeout = 10 * time.Second

// Broker is a broker in memory. All methods may be called concurrently.
type Broker struct {
	opts Options

	// mu guards everything below, and all topics, subscriptions and consumers.
	mu            sync.Mutex
	closed        bool
	topics        map[string]*topic
	subscriptions map[string]*subscription
	producers     map[*Producer]struct{}
	faults        faults
}

var _ broker.Broker = (*Broker)(nil)

// New returns a running broker.
func New(opts Options) *Broker {
	b := &Broker{
		opts:          opts.withDefaults(),
		topics:        map[string]*topic{},
		subscriptions: map[string]*subscription{},
		producers:     map[*Producer]struct{}{},
	}
	for name, partitions := range opts.Topics {
		b.topics[name] = newTopic(name, partitions)
	}
	return b
}

// Features says that this broker has all features but those of Options.Without.
func (b *Broker) Features() broker.Features {
	without := b.opts.Without
	return broker.Features{
		ExplicitPartition:   !without.ExplicitPartition,
		StartLatest:         !without.StartLatest,
		SharedSubscriptions: !without.SharedSubscriptions,
	}
}

// Ping implements broker.Broker.
func (b *Broker) Ping(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return broker.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return &broker.Error{
			Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: true,
			Message: "the broker had no time to answer", Err: err,
		}
	}
	if b.faults.unreachable {
		return errUnreachable()
	}
	return nil
}

// Close ends the broker, and with it whatever producers and consumers are still
// open.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	producers := make([]*Producer, 0, len(b.producers))
	for p := range b.producers {
		producers = append(producers, p)
	}
	for _, s := range b.subscriptions {
		for _, c := range append([]*Consumer(nil), s.members...) {
			c.startClosingLocked()
			c.leaveLocked()
		}
	}
	b.mu.Unlock()
	for _, p := range producers {
		if err := p.Close(); err != nil {
			return err
		}
	}
	return nil
}

// NewConsumer implements broker.Broker.
func (b *Broker) NewConsumer(ctx context.Context, opts broker.ConsumerOptions) (broker.Consumer, error) {
	opts, err := b.checkConsumerOptions(opts)
	if err != nil {
		return nil, err
	}
	if err := b.passNewConsumerGate(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, broker.ErrClosed
	}
	if b.faults.unreachable {
		return nil, errUnreachable()
	}
	for _, name := range opts.Topics {
		if _, err := b.topicLocked(name); err != nil {
			return nil, err
		}
	}
	s := b.subscriptionLocked(opts.Subscription)
	if len(s.members) > 0 && b.opts.Without.SharedSubscriptions {
		return nil, unsupported("another consumer has joined this subscription")
	}
	c := newConsumer(b, s, opts)
	s.members = append(s.members, c)
	s.rebalanceLocked()
	return c, nil
}

func (b *Broker) checkConsumerOptions(opts broker.ConsumerOptions) (broker.ConsumerOptions, error) {
	switch {
	case opts.Subscription == "":
		return opts, invalid("the subscription's name is missing")
	case len(opts.Topics) == 0:
		return opts, invalid("a consumer needs at least one topic")
	case opts.Start != broker.StartEarliest && opts.Start != broker.StartLatest:
		return opts, invalid(fmt.Sprintf("unknown start position %d", opts.Start))
	case opts.PartitionWindow < 0 || opts.HandoverTimeout < 0:
		return opts, invalid("the partition window and the handover timeout can't be negative")
	case opts.Start == broker.StartLatest && b.opts.Without.StartLatest:
		return opts, unsupported("a subscription can't start at the latest message")
	}
	seen := map[string]bool{}
	for _, name := range opts.Topics {
		if name == "" || seen[name] {
			return opts, invalid(fmt.Sprintf("topic %q is empty or repeated", name))
		}
		seen[name] = true
	}
	opts.Topics = append([]string(nil), opts.Topics...)
	setDefault(&opts.PartitionWindow, 1000)
	setDefault(&opts.HandoverTimeout, 10*time.Second)
	return opts, nil
}

// passNewConsumerGate waits while HoldNewConsumers is in force.
func (b *Broker) passNewConsumerGate(ctx context.Context) error {
	b.mu.Lock()
	gate := b.faults.newConsumerGate
	b.mu.Unlock()
	if gate == nil {
		return ctx.Err()
	}
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case <-gate:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errUnreachable()
	}
}

func (b *Broker) subscriptionLocked(name string) *subscription {
	s := b.subscriptions[name]
	if s == nil {
		s = newSubscription(b, name)
		b.subscriptions[name] = s
	}
	return s
}

func errUnreachable() *broker.Error {
	return &broker.Error{
		Code: broker.CodeUnavailable, Partition: broker.AnyPartition, Retryable: true,
		Message: "the broker can't be reached; the call can be repeated",
	}
}

func invalid(message string) *broker.Error {
	return &broker.Error{Code: broker.CodeInvalidArgument, Partition: broker.AnyPartition, Message: message}
}

func unsupported(message string) *broker.Error {
	return &broker.Error{Code: broker.CodeUnsupported, Partition: broker.AnyPartition, Message: message}
}
