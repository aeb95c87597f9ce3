package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

const (
	// contractLimit is the time that the contract gives for bad news to come.
	contractLimit = 10 * time.Second
	// grace is added to the contract's times, for busy machines.
	grace = 2 * time.Second
	// promptly is the time for calls that don't wait for anything.
	promptly = 2 * time.Second
)

// env is what a check works with: the backend, and helpers that fail the check if
// something that has to work doesn't.
type env struct {
	T
	Backend
	h Harness

	once     sync.Once
	producer broker.Producer // of produce
	produced int             // how many messages produce has made
	// unsound consumers are expected to fail to close; whether a second Close says so
	// again is their own affair.
	unsound map[broker.Consumer]bool
}

func newEnv(t T, h Harness) *env {
	t.Helper()
	h = h.withDefaults()
	e := &env{T: t, h: h, Backend: h.Open(t), unsound: map[broker.Consumer]bool{}}
	if e.Another == nil {
		e.Another = e.Broker
	}
	return e
}

// unique returns a name that nobody has used.
func (e *env) unique(prefix string) string { return fmt.Sprintf("%s-%016x", prefix, rand.Uint64()) }

// topic creates a topic.
func (e *env) topic(partitions int) string {
	e.Helper()
	name := e.unique("topic")
	e.CreateTopic(e, name, partitions)
	return name
}

// patience returns a context for a call that has to succeed.
func (e *env) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), e.h.Patience)
}

// openProducer opens a producer that is closed after the check.
func (e *env) openProducer(opts broker.ProducerOptions) broker.Producer {
	e.Helper()
	ctx, cancel := e.patience()
	defer cancel() // what it bounds is the call alone
	p, err := e.Broker.NewProducer(ctx, opts)
	if err != nil {
		e.Fatalf("NewProducer: %v", err)
	}
	e.Cleanup(func() {
		if err := p.Close(); err != nil {
			e.Errorf("Producer.Close: %v", err)
		}
	})
	return p
}

// stored is a message and the receipt that says where it is.
type stored struct {
	*broker.OutgoingMessage
	broker.MessageReceipt
}

func (s stored) topicPartition() broker.TopicPartition {
	return broker.TopicPartition{Topic: s.Topic, Partition: s.MessageReceipt.Partition}
}

// store stores messages through a producer and returns them in the same order.
func (e *env) store(p broker.Producer, messages ...*broker.OutgoingMessage) []stored {
	e.Helper()
	answers := newAnswers(e, len(messages))
	for i, m := range messages {
		p.ProduceAsync(m, answers.callback(i))
	}
	result := make([]stored, 0, len(messages))
	for i, answer := range answers.await(e.h.Patience) {
		if answer.err != nil {
			e.Fatalf("message %d of %d for topic %q is not stored: %v", i, len(messages), messages[i].Topic, answer.err)
		}
		result = append(result, stored{messages[i], answer.receipt})
	}
	return result
}

// produce stores n messages in a topic, made by outgoing.
func (e *env) produce(topic string, n int) []stored {
	e.Helper()
	e.once.Do(func() { e.producer = e.openProducer(broker.ProducerOptions{}) })
	return e.store(e.producer, e.outgoing(topic, n)...)
}

// produceSized is produce with messages of a size that doesn't shrink on the wire.
func (e *env) produceSized(topic string, n, size int) []stored {
	e.Helper()
	messages := e.outgoing(topic, n)
	// Each has a padding of its own: batches of messages that are alike compress
	// well, and then one fetch brings many.
	padding := incompressible(n * size)
	for i, m := range messages {
		own := padding[i*size : (i+1)*size]
		m.Value = append(append([]byte(nil), m.Value...), own[len(m.Key)+len(m.Value):]...)
	}
	return e.store(e.openProducer(broker.ProducerOptions{}), messages...)
}

// outgoing makes n messages, each with a value of its own and a key that is its
// value too, so that they spread over the partitions.
func (e *env) outgoing(topic string, n int) []*broker.OutgoingMessage {
	messages := make([]*broker.OutgoingMessage, 0, n)
	for range n {
		e.produced++
		value := fmt.Appendf(nil, "message %d", e.produced)
		messages = append(messages, &broker.OutgoingMessage{
			Topic: topic, Partition: broker.AnyPartition, Key: value, Value: value,
		})
	}
	return messages
}

// checkError fails the check unless err is an *Error that a person can read.
func (e *env) checkError(what string, err error) {
	e.Helper()
	typed, ok := errors.AsType[*broker.Error](err)
	switch {
	case !ok:
		e.Errorf("%s: the error is no *broker.Error: %T: %v", what, err, err)
	case typed.Error() == "" || typed.Code.String() == "":
		e.Errorf("%s: the error says nothing", what)
	case typed.Topic == "" && typed.Partition != broker.AnyPartition && typed.Partition != 0:
		e.Errorf("%s: the error names partition %d of no topic", what, typed.Partition)
	}
}

// assertCode fails the check unless err is an *Error of a code.
func (e *env) assertCode(what string, err error, code broker.Code) {
	e.Helper()
	if err == nil {
		e.Errorf("%s: no error, want %q", what, code)
		return
	}
	e.checkError(what, err)
	if got := broker.CodeOf(err); got != code {
		e.Errorf("%s: the error is %q, want %q: %v", what, got, code, err)
	}
}

// within calls f and fails the check if that takes too long.
func (e *env) within(limit time.Duration, what string, f func()) {
	e.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		e.Errorf("%s took longer than %v", what, limit)
		<-done
	}
}

// pause waits to see that something doesn't happen.
func (e *env) pause() { time.Sleep(e.h.Quiet) }

// assertDenied checks that a feature that the backend doesn't have answers so.
func (e *env) assertDenied(f Feature) {
	e.Helper()
	topic := e.topic(1)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	switch f {
	case ExplicitPartition:
		answers := newAnswers(e, 1)
		e.openProducer(broker.ProducerOptions{}).ProduceAsync(&broker.OutgoingMessage{Topic: topic}, answers.callback(0))
		e.assertCode("a message that names its partition", answers.await(e.h.Patience)[0].err, broker.CodeUnsupported)
		return
	case StartLatest:
		opts.Start = broker.StartLatest
	case SharedSubscriptions:
		e.join(opts)
	}
	ctx, cancel := e.patience()
	defer cancel()
	c, err := e.Another.NewConsumer(ctx, opts)
	e.assertCode("NewConsumer", err, broker.CodeUnsupported)
	if err == nil {
		_ = c.Close(ctx)
	}
}

// assertSame fails the check unless the received messages are the stored ones,
// each once, and those of each partition in the order in which they were stored.
func (e *env) assertSame(what string, got []received, want []stored) {
	e.Helper()
	wanted := map[broker.TopicPartition][]string{}
	for _, s := range want {
		wanted[s.topicPartition()] = append(wanted[s.topicPartition()], string(s.Value))
	}
	for _, m := range got {
		next := wanted[m.partition]
		if len(next) == 0 {
			e.Errorf("%s: %.40q of %s came unexpectedly", what, m.Value, m.partition)
			continue
		}
		if next[0] != string(m.Value) {
			e.Errorf("%s: %.40q of %s came instead of %.40q", what, m.Value, m.partition, next[0])
		}
		wanted[m.partition] = next[1:]
	}
	for tp, missing := range wanted {
		if len(missing) > 0 {
			e.Errorf("%s: %d messages are missing from %s, first %.40q", what, len(missing), tp, missing[0])
		}
	}
}

// closeAfter closes a consumer after the check.
func (e *env) closeAfter(c broker.Consumer) {
	e.Cleanup(func() {
		ctx, cancel := e.patience()
		defer cancel()
		if err := c.Close(ctx); err != nil && !e.unsound[c] {
			e.Errorf("Consumer.Close: %v", err)
		}
	})
}
