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
}

func newEnv(t T, h Harness) *env {
	t.Helper()
	h = h.withDefaults()
	e := &env{T: t, h: h, Backend: h.Open(t)}
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
	padding := incompressible(size)
	for _, m := range messages {
		m.Value = append(append([]byte(nil), m.Value...), padding[len(m.Key)+len(m.Value):]...)
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

// answer is how a message was answered.
type answer struct {
	index   int
	receipt broker.MessageReceipt
	err     error
	at      time.Time
}

// answers collects the answers to some messages, in the order in which they come.
type answers struct {
	e       *env
	changed signal

	mu     sync.Mutex
	byTime []answer
	seen   []int // how often each message was answered
}

func newAnswers(e *env, n int) *answers {
	return &answers{e: e, changed: newSignal(), seen: make([]int, n)}
}

// callback returns the callback for message i.
func (a *answers) callback(i int) func(broker.MessageReceipt, error) {
	return func(receipt broker.MessageReceipt, err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen[i]++
		if a.seen[i] > 1 {
			a.e.Errorf("message %d was answered %d times", i, a.seen[i])
		}
		if err != nil {
			a.e.checkError("a message's answer", err)
		}
		a.byTime = append(a.byTime, answer{i, receipt, err, time.Now()})
		a.changed.raise()
	}
}

// count returns how many messages are answered.
func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.byTime)
}

// ordered returns the answers that came so far, as they came.
func (a *answers) ordered() []answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]answer(nil), a.byTime...)
}

// await waits until every message is answered, and returns the answers by message.
func (a *answers) await(limit time.Duration) []answer {
	a.e.Helper()
	if !a.changed.await(limit, func() bool { return a.count() >= len(a.seen) }) {
		a.e.Fatalf("only %d of %d messages were answered within %v", a.count(), len(a.seen), limit)
	}
	byMessage := make([]answer, len(a.seen))
	for _, answer := range a.ordered() {
		byMessage[answer.index] = answer
	}
	return byMessage
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

// signal wakes whoever awaits that something changes.
type signal struct{ state *signalState }

type signalState struct {
	mu      sync.Mutex
	changed chan struct{}
}

func newSignal() signal { return signal{&signalState{changed: make(chan struct{})}} }

func (s signal) raise() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	close(s.state.changed)
	s.state.changed = make(chan struct{})
}

func (s signal) wait() <-chan struct{} {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.changed
}

// await returns true when a condition holds, and false if it doesn't in time. The
// condition is looked at whenever the signal is raised.
func (s signal) await(limit time.Duration, condition func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := s.wait()
		if condition() {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return condition()
		}
	}
}

// signalOf returns a wait for a condition on several readers.
func signalOf(readers ...*reader) func(limit time.Duration, condition func() bool) bool {
	any := newSignal()
	return func(limit time.Duration, condition func() bool) bool {
		done := make(chan struct{})
		var relays sync.WaitGroup
		for _, r := range readers {
			relays.Go(func() {
				for {
					changed := r.changed.wait()
					any.raise()
					select {
					case <-changed:
					case <-done:
						return
					}
				}
			})
		}
		defer relays.Wait()
		defer close(done)
		return any.await(limit, condition)
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
		if err := c.Close(ctx); err != nil {
			e.Errorf("Consumer.Close: %v", err)
		}
	})
}
