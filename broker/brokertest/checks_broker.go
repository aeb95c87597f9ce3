package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var brokerChecks = []Check{
	{
		Name: "broker/concurrent_calls",
		Quotes: []string{
			"Broker opens producers and consumers",
			"All methods may be called concurrently. [Broker]",
		},
		run: checkConcurrentBrokerCalls,
	},
	{
		Name:   "broker/features_never_change",
		Quotes: []string{"Features says which optional parts", "The answer never changes"},
		run:    checkFeaturesNeverChange,
	},
	{
		Name:   "broker/ping",
		Quotes: []string{"Ping returns nil if the broker answered"},
		run: func(e *env) {
			ctx, cancel := e.patience()
			defer cancel()
			if err := e.Broker.Ping(ctx); err != nil {
				e.Errorf("Ping: %v", err)
			}
		},
	},
	{
		Name:   "broker/ping_unreachable",
		Quotes: []string{"Ping returns nil if the broker answered"},
		Needs:  []Capability{CanDisconnect},
		run:    checkPingUnreachable,
	},
	{
		Name: "broker/close",
		Quotes: []string{
			"Close ends what the backend itself keeps open", "Close may be called twice. [Broker]",
			"Producers and consumers are closed by whoever opened them",
			"ErrClosed is returned by a producer, consumer or broker",
		},
		run: checkBrokerClose,
	},
	{
		Name: "broker/new_producer_unreachable",
		Quotes: []string{
			"NewProducer opens a producer", "It does not wait for the broker", "ctx bounds the call alone, not the producer",
		},
		Needs: []Capability{CanDisconnect},
		run:   checkNewProducerUnreachable,
	},
	{
		Name: "broker/new_consumer",
		Quotes: []string{
			"NewConsumer joins a subscription", "It returns once the broker has confirmed that the topics exist",
			"It returns within 10 seconds or when ctx ends",
		},
		run: checkNewConsumer,
	},
	{
		Name: "broker/new_consumer_unknown_topic",
		Quotes: []string{
			"Errors are *Error: CodeTopicNotFound names the topic", "CodeOf returns the code",
			"Error is what the methods of this contract return", "Match one by its code",
		},
		run: checkNewConsumerUnknownTopic,
	},
	{
		Name: "broker/new_consumer_unreachable",
		Quotes: []string{
			"It returns within 10 seconds or when ctx ends", "Errors are *Error: CodeTopicNotFound names the topic, CodeUnavailable means",
			"CodeUnavailable: the broker can't be reached", "Retryable says whether the same call can succeed later",
			"IsRetryable reports whether",
		},
		Needs: []Capability{CanDisconnect},
		run:   checkNewConsumerUnreachable,
	},
	{
		Name: "broker/new_consumer_bad_options",
		Quotes: []string{
			"Subscription is the name of the durable reading position", "Required",
			"Topics are the topics to read, without repetitions", "CodeInvalidArgument: the message or an option",
			"ConsumerOptions configure a Consumer",
		},
		run: checkNewConsumerBadOptions,
	},
	{
		Name: "features/explicit_partition",
		Quotes: []string{
			"ExplicitPartition: OutgoingMessage.Partition may name a partition",
			"Partition is AnyPartition or the number of a partition", "Features are the optional parts of the contract",
			"Whoever asks for one that is false", "CodeUnsupported: a feature that the backend doesn't have",
			"ErrUnsupported is the error for a feature",
		},
		Feature: ExplicitPartition,
		run:     checkExplicitPartition,
	},
	{
		Name:    "features/start_latest",
		Quotes:  []string{"StartLatest: a subscription may begin at the latest message", "StartPosition is where a subscription begins"},
		Feature: StartLatest,
		run:     checkStartLatest,
	},
	{
		Name:    "features/shared_subscriptions",
		Quotes:  []string{"SharedSubscriptions: several consumers", "Consumer is one member of a subscription"},
		Feature: SharedSubscriptions,
		run:     checkSharedSubscription,
	},
}

func checkConcurrentBrokerCalls(e *env) {
	topic := e.topic(1)
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			ctx, cancel := e.patience()
			defer cancel()
			e.Broker.Features()
			if err := e.Broker.Ping(ctx); err != nil {
				e.Errorf("Ping: %v", err)
			}
			p, err := e.Broker.NewProducer(ctx, broker.ProducerOptions{})
			if err != nil {
				e.Errorf("NewProducer: %v", err)
				return
			}
			c, err := e.Broker.NewConsumer(ctx, broker.ConsumerOptions{
				Subscription: e.unique("subscription"), Topics: []string{topic},
			})
			if err != nil {
				e.Errorf("NewConsumer: %v", err)
			} else if err := c.Close(ctx); err != nil {
				e.Errorf("Consumer.Close: %v", err)
			}
			if err := p.Close(); err != nil {
				e.Errorf("Producer.Close: %v", err)
			}
		})
	}
	calls.Wait()
}

func checkFeaturesNeverChange(e *env) {
	before := e.Broker.Features()
	topic := e.topic(1)
	e.produce(topic, 1)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	r.awaitMessages(1)
	if after := e.Broker.Features(); after != before {
		e.Errorf("the features were %+v and are %+v", before, after)
	}
}

func checkPingUnreachable(e *env) {
	e.SetReachable(e, false)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var err error
	e.within(time.Second+grace, "Ping", func() { err = e.Broker.Ping(ctx) })
	e.assertCode("Ping of an unreachable broker", err, broker.CodeUnavailable)
	e.SetReachable(e, true)
	again, cancelAgain := e.patience()
	defer cancelAgain()
	for e.Broker.Ping(again) != nil {
		if again.Err() != nil {
			e.Fatalf("Ping fails although the broker is reachable again")
		}
		time.Sleep(50 * time.Millisecond) // no signal says when a connection is possible
	}
}

func checkBrokerClose(e *env) {
	topic := e.topic(1)
	ctx, cancel := e.patience()
	defer cancel()
	for range 2 {
		if err := e.Broker.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	}
	e.assertClosed("Ping", e.Broker.Ping(ctx))
	p, err := e.Broker.NewProducer(ctx, broker.ProducerOptions{})
	e.assertClosed("NewProducer", err)
	if err == nil {
		_ = p.Close()
	}
	c, err := e.Broker.NewConsumer(ctx, broker.ConsumerOptions{Subscription: "s", Topics: []string{topic}})
	e.assertClosed("NewConsumer", err)
	if err == nil {
		_ = c.Close(ctx)
	}
}

func (e *env) assertClosed(call string, err error) {
	e.Helper()
	if !errors.Is(err, broker.ErrClosed) {
		e.Errorf("%s after Close: %v, want ErrClosed", call, err)
	}
}

func checkNewProducerUnreachable(e *env) {
	topic := e.topic(1)
	e.SetReachable(e, false)
	ctx, cancel := context.WithCancel(context.Background())
	var p broker.Producer
	var err error
	e.within(promptly, "NewProducer", func() { p, err = e.Broker.NewProducer(ctx, broker.ProducerOptions{}) })
	if err != nil {
		e.Fatalf("NewProducer: %v", err)
	}
	cancel() // the producer goes on
	answers := newAnswers(e, 1)
	p.ProduceAsync(&broker.OutgoingMessage{Topic: topic, Partition: broker.AnyPartition}, answers.callback(0))
	e.SetReachable(e, true)
	if err := answers.await(e.h.Patience)[0].err; err != nil {
		e.Errorf("a message given while the broker was unreachable for a moment: %v", err)
	}
	if err := p.Close(); err != nil {
		e.Errorf("Close: %v", err)
	}
}

func checkNewConsumer(e *env) {
	one, two := e.topic(1), e.topic(2)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{one, two}}
	ctx, cancel := context.WithCancel(context.Background())
	var c broker.Consumer
	var err error
	e.within(contractLimit+grace, "NewConsumer", func() { c, err = e.Broker.NewConsumer(ctx, opts) })
	if err != nil {
		e.Fatalf("NewConsumer: %v", err)
	}
	cancel() // it bounds the call alone
	e.closeAfter(c)
	r := newReader(e, c, opts)
	r.start()
	r.awaitAssigned(3)
	want := append(e.produce(one, 3), e.produce(two, 3)...)
	if got := r.awaitMessages(len(want)); len(got) != len(want) {
		e.Errorf("received %v, want %v", values(got), storedValues(want))
	}
}

func checkNewConsumerUnknownTopic(e *env) {
	known, unknown := e.topic(1), e.unique("unknown")
	ctx, cancel := e.patience()
	defer cancel()
	var err error
	e.within(contractLimit+grace, "NewConsumer", func() {
		_, err = e.Broker.NewConsumer(ctx, broker.ConsumerOptions{
			Subscription: e.unique("subscription"), Topics: []string{known, unknown},
		})
	})
	e.assertCode("NewConsumer", err, broker.CodeTopicNotFound)
	if typed, ok := errors.AsType[*broker.Error](err); ok && typed.Topic != unknown {
		e.Errorf("the error names topic %q, want %q", typed.Topic, unknown)
	}
}

func checkNewConsumerUnreachable(e *env) {
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{e.topic(1)}}
	e.SetReachable(e, false)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	e.within(time.Second+grace, "NewConsumer with a second of time", func() {
		c, err := e.Broker.NewConsumer(ctx, opts)
		if err == nil {
			e.Errorf("NewConsumer of an unreachable broker succeeds")
			_ = c.Close(ctx)
		}
	})
	patient, cancelPatient := e.patience()
	defer cancelPatient()
	var err error
	e.within(contractLimit+grace, "NewConsumer", func() { _, err = e.Broker.NewConsumer(patient, opts) })
	e.assertCode("NewConsumer", err, broker.CodeUnavailable)
	if !broker.IsRetryable(err) {
		e.Errorf("the error isn't retryable: %v", err)
	}
	e.SetReachable(e, true)
	for {
		c, err := e.Broker.NewConsumer(patient, opts)
		if err == nil {
			e.closeAfter(c)
			return
		}
		if patient.Err() != nil {
			e.Fatalf("NewConsumer fails although the broker is reachable again: %v", err)
		}
		time.Sleep(50 * time.Millisecond) // no signal says when a connection is possible
	}
}

func checkNewConsumerBadOptions(e *env) {
	topic, name := e.topic(1), e.unique("subscription")
	bad := map[string]broker.ConsumerOptions{
		"no subscription":  {Topics: []string{topic}},
		"no topics":        {Subscription: name},
		"an unknown start": {Subscription: name, Topics: []string{topic}, Start: 99},
		"a negative window": {
			Subscription: name, Topics: []string{topic}, PartitionWindow: -1,
		},
		"a negative timeout": {Subscription: name, Topics: []string{topic}, HandoverTimeout: -time.Second},
	}
	for what, opts := range bad {
		ctx, cancel := e.patience()
		c, err := e.Broker.NewConsumer(ctx, opts)
		e.assertCode("NewConsumer with "+what, err, broker.CodeInvalidArgument)
		if err == nil {
			_ = c.Close(ctx)
		}
		cancel()
	}
}

func checkExplicitPartition(e *env) {
	topic := e.topic(3)
	p := e.openProducer(broker.ProducerOptions{})
	key := []byte("the same key everywhere")
	for n := range int32(3) {
		got := e.store(p, &broker.OutgoingMessage{Topic: topic, Partition: n, Key: key})[0]
		if got.MessageReceipt.Partition != n {
			e.Errorf("a message for partition %d is in partition %d", n, got.MessageReceipt.Partition)
		}
	}
}

func checkStartLatest(e *env) {
	topic := e.topic(2)
	e.produce(topic, 20)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, Start: broker.StartLatest,
	})
	r.awaitAssigned(2)
	want := e.produce(topic, 10)
	r.awaitMessages(len(want))
	e.pause()
	e.assertSame("a subscription from the latest message on", r.all(), want)
}

// checkSharedSubscription: each message goes to one of the consumers, in order.
func checkSharedSubscription(e *env) {
	topic := e.topic(4)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	first.awaitAssigned(4)
	second := e.joinAnother(opts)
	revoked, _, _ := first.awaitRevoking()
	first.Release(revoked...)
	both := signalOf(first, second)
	if !both(e.h.Patience, func() bool {
		return len(second.kept()) > 0 && len(first.kept())+len(second.kept()) == 4
	}) {
		e.Fatalf("of 4 partitions the consumers have %v and %v", first.kept(), second.kept())
	}
	want := e.produce(topic, 40)
	if !both(e.h.Patience, func() bool { return len(first.all())+len(second.all()) >= len(want) }) {
		e.Fatalf("of %d messages %d and %d were received", len(want), len(first.all()), len(second.all()))
	}
	e.pause()
	e.assertSame("what both received", append(first.all(), second.all()...), want)
}
