package brokertest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

func mutants() []mutant {
	return slices.Concat(brokerMutants(), producerMutants(), consumerMutants(), eventMutants())
}

func brokerMutants() []mutant {
	return []mutant{
		{
			rule: "a feature that is denied answers CodeUnsupported", check: "features/shared_subscriptions",
			broker: func(b broker.Broker) broker.Broker { return featureless{b} },
		},
		{
			rule: "a feature that is denied answers CodeUnsupported", check: "features/start_latest",
			broker: func(b broker.Broker) broker.Broker { return featureless{b} },
		},
		{
			rule: "a feature that is denied answers CodeUnsupported", check: "features/explicit_partition",
			broker: func(b broker.Broker) broker.Broker { return featureless{b} },
		},
		{
			rule: "start latest is not start earliest", check: "features/start_latest",
			options: func(o *broker.ConsumerOptions) { o.Start = broker.StartEarliest },
		},
		{
			rule: "where a subscription starts is written down", check: "consumer/start_latest_is_durable",
			options: newSubscriptionEachTime(),
		},
		{
			rule: "the window", check: "window/bound",
			options: func(o *broker.ConsumerOptions) { o.PartitionWindow *= 3 },
		},
		{
			rule: "the default window", check: "window/default",
			options: func(o *broker.ConsumerOptions) { o.PartitionWindow = 1100 },
		},
		{
			rule: "the handover timeout", check: "handover/timeout",
			options: func(o *broker.ConsumerOptions) { o.HandoverTimeout *= 2 },
		},
		{
			rule: "the broker is closed", check: "broker/close",
			broker: func(b broker.Broker) broker.Broker { return unclosable{b} },
		},
	}
}

type featureless struct{ broker.Broker }

func (featureless) Features() broker.Features { return broker.Features{} }

type unclosable struct{ broker.Broker }

func (unclosable) Close() error { return nil }

func newSubscriptionEachTime() func(*broker.ConsumerOptions) {
	var n atomic.Int32
	return func(o *broker.ConsumerOptions) { o.Subscription += strings.Repeat("'", int(n.Add(1))) }
}

// badProducer changes what goes through a producer.
type badProducer struct {
	broker.Producer
	produce func(broker.Producer, *broker.OutgoingMessage, func(broker.MessageReceipt, error))
	flush   func(context.Context) error
}

func (p *badProducer) ProduceAsync(m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
	if p.produce == nil {
		p.Producer.ProduceAsync(m, done)
		return
	}
	p.produce(p.Producer, m, done)
}

func (p *badProducer) Flush(ctx context.Context) error {
	if p.flush == nil {
		return p.Producer.Flush(ctx)
	}
	return p.flush(ctx)
}

// onProduce returns a mutant's producer that gets a function for each producer.
func onProduce(make func() func(broker.Producer, *broker.OutgoingMessage, func(broker.MessageReceipt, error))) func(broker.Producer) broker.Producer {
	return func(p broker.Producer) broker.Producer { return &badProducer{Producer: p, produce: make()} }
}

// onMessage changes each message.
func onMessage(change func(*broker.OutgoingMessage)) func(broker.Producer) broker.Producer {
	return func(p broker.Producer) broker.Producer {
		return &badProducer{Producer: p, produce: func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
			changed := *m
			change(&changed)
			p.ProduceAsync(&changed, done)
		}}
	}
}

// onAnswer changes each answer.
func onAnswer(change func(*broker.MessageReceipt, *error)) func(broker.Producer) broker.Producer {
	return func(p broker.Producer) broker.Producer {
		return &badProducer{Producer: p, produce: func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
			p.ProduceAsync(m, func(r broker.MessageReceipt, err error) {
				change(&r, &err)
				done(r, err)
			})
		}}
	}
}

func producerMutants() []mutant {
	return []mutant{
		{rule: "one answer a message", check: "producer/answers_and_order", producer: onProduce(answerTwice)},
		{rule: "what is confirmed is stored", check: "producer/answers_and_order", producer: onProduce(dropEveryHundredth)},
		{rule: "messages stay in order", check: "producer/answers_and_order", producer: onProduce(swapPairs)},
		{
			rule: "the receipt's ID is the message's", check: "producer/receipts",
			producer: onAnswer(func(r *broker.MessageReceipt, _ *error) { r.ID += "0" }),
		},
		{
			rule: "the receipt's timestamp is the message's", check: "producer/receipts",
			producer: onAnswer(func(r *broker.MessageReceipt, _ *error) { r.Timestamp = r.Timestamp.Add(time.Millisecond) }),
		},
		{
			rule: "equal keys go together", check: "producer/equal_keys",
			producer: onMessage(func(m *broker.OutgoingMessage) { m.Key = nil }),
		},
		{
			rule: "empty isn't absent", check: "message/round_trip",
			producer: onMessage(func(m *broker.OutgoingMessage) {
				if len(m.Value) == 0 {
					m.Value = nil
				}
			}),
		},
		{
			rule: "header keys are bytes", check: "message/round_trip",
			producer: onMessage(func(m *broker.OutgoingMessage) {
				m.Headers = slices.Clone(m.Headers)
				for i := range m.Headers {
					m.Headers[i].Key = strings.ToValidUTF8(m.Headers[i].Key, "�")
				}
			}),
		},
		{
			rule: "timestamps are exact to the millisecond", check: "message/timestamps",
			producer: onMessage(func(m *broker.OutgoingMessage) { m.Timestamp = m.Timestamp.Truncate(time.Second) }),
		},
		{
			rule: "errors are typed", check: "producer/unknown_topic",
			producer: onAnswer(func(_ *broker.MessageReceipt, err *error) {
				if *err != nil {
					*err = errors.New("it failed")
				}
			}),
		},
		{
			rule: "an unknown partition has its own code", check: "producer/unknown_partition",
			producer: onAnswer(recode(broker.CodePartitionNotFound, broker.CodeTopicNotFound)),
		},
		{
			rule: "too large has its own code", check: "producer/too_large",
			producer: onAnswer(recode(broker.CodeMessageTooLarge, broker.CodeInvalidArgument)),
		},
		{
			rule: "ErrClosed after Close", check: "producer/close",
			producer: onAnswer(recode(broker.CodeClosed, broker.CodeUnavailable)),
		},
		{rule: "a failed message isn't stored", check: "producer/lost_answers", producer: onProduce(failInTime)},
		{rule: "a message is tried until its time is up", check: "producer/timeout", producer: onProduce(failAtOnce)},
		{
			rule: "Flush waits", check: "producer/flush",
			producer: func(p broker.Producer) broker.Producer {
				return &badProducer{Producer: p, flush: func(context.Context) error { return nil }}
			},
		},
	}
}

type produceFunc = func(broker.Producer, *broker.OutgoingMessage, func(broker.MessageReceipt, error))

func answerTwice() produceFunc {
	return func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
		p.ProduceAsync(m, func(r broker.MessageReceipt, err error) {
			done(r, err)
			done(r, err)
		})
	}
}

func dropEveryHundredth() produceFunc {
	n := 0
	return func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
		if n++; n%100 == 0 {
			done(broker.MessageReceipt{ID: "lost", Timestamp: time.Now()}, nil)
			return
		}
		p.ProduceAsync(m, done)
	}
}

// swapPairs swaps every two messages with the same key.
func swapPairs() produceFunc {
	held := map[string]func(){}
	return func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
		key := string(m.Key)
		if held[key] == nil {
			held[key] = func() { p.ProduceAsync(m, done) }
			return
		}
		p.ProduceAsync(m, done)
		held[key]()
		held[key] = nil
	}
}

// failInTime says "failed" when the time is up, whatever happened.
func failInTime() produceFunc {
	return func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
		var once sync.Once
		timer := time.AfterFunc(time.Second, func() {
			once.Do(func() { done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeUnavailable}) })
		})
		p.ProduceAsync(m, func(r broker.MessageReceipt, err error) {
			timer.Stop()
			once.Do(func() { done(r, err) })
		})
	}
}

func failAtOnce() produceFunc {
	return func(p broker.Producer, m *broker.OutgoingMessage, done func(broker.MessageReceipt, error)) {
		if string(m.Value) != "key 0" { // the one that waits for the broker
			done(broker.MessageReceipt{}, &broker.Error{Code: broker.CodeUnavailable})
			return
		}
		p.ProduceAsync(m, done)
	}
}

func recode(from, to broker.Code) func(*broker.MessageReceipt, *error) {
	return func(_ *broker.MessageReceipt, err *error) {
		if errors.Is(*err, from) {
			*err = &broker.Error{Code: to, Partition: broker.AnyPartition}
		}
	}
}
