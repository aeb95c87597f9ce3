package brokertest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var producerChecks = []Check{
	{
		Name: "producer/answers_and_order",
		Quotes: []string{
			"Producer stores messages", "ProduceAsync takes a message and never blocks", "done is called exactly once",
			"The messages of one partition are stored, and done is called", "OutgoingMessage is a message to store",
			"ProducerOptions configure a Producer",
		},
		run: checkAnswersAndOrder,
	},
	{
		Name:   "producer/concurrent_calls",
		Quotes: []string{"All methods may be called concurrently. [Producer]", "done must not block and must not call the producer"},
		run:    checkConcurrentProduce,
	},
	{
		Name: "producer/receipts",
		Quotes: []string{
			"MessageReceipt says where a message is stored", "ID is the Message.ID that consumers will see",
			"AnyPartition, as OutgoingMessage.Partition, leaves the choice",
		},
		run: checkReceipts,
	},
	{
		Name:   "producer/equal_keys",
		Quotes: []string{"Messages with equal, present keys go to the same partition"},
		run:    checkEqualKeys,
	},
	{
		Name: "producer/unknown_topic",
		Quotes: []string{
			"A message for a topic or a partition that doesn't exist fails within 10 seconds",
			"An error says that the message is certainly not stored", "Topic is the topic that the error is about",
		},
		run: checkProduceUnknownTopic,
	},
	{
		Name: "producer/unknown_partition",
		Quotes: []string{
			"A message for a topic or a partition that doesn't exist fails within 10 seconds",
			"Partition is the partition of Topic that the error is about", "It means nothing without Topic",
		},
		Feature: ExplicitPartition,
		run:     checkProduceUnknownPartition,
	},
	{
		Name:   "producer/too_large",
		Quotes: []string{"CodeMessageTooLarge: the broker refuses a message of this size"},
		Needs:  []Capability{CanRefuseLarge},
		run:    checkTooLarge,
	},
	{
		Name:   "producer/large",
		Quotes: []string{"MaxMessageBytes is the largest message", "Zero means 16 MiB"},
		run:    checkLarge,
	},
	{
		Name:   "producer/keeps_message_until_done",
		Quotes: []string{"The producer keeps message and everything it refers to, unchanged"},
		run:    checkMessageIsFreeAfterDone,
	},
	{
		Name:   "producer/flush",
		Quotes: []string{"Flush returns when every message given to ProduceAsync before has been answered"},
		run:    checkFlush,
	},
	{
		Name:   "producer/flush_unreachable",
		Quotes: []string{"Flush returns when every message given to ProduceAsync before has been answered"},
		Needs:  []Capability{CanDisconnect},
		run:    checkFlushUnreachable,
	},
	{
		Name:   "producer/never_blocks",
		Quotes: []string{"ProduceAsync takes a message and never blocks"},
		Needs:  []Capability{CanDisconnect},
		run:    checkNeverBlocks,
	},
	{
		Name: "producer/timeout",
		Quotes: []string{
			"Timeout is how long the producer tries to store a message", "Zero means 30 seconds",
			"Once ProducerOptions.Timeout is over", "An error says that the message is certainly not stored",
		},
		Needs: []Capability{CanDisconnect},
		run:   checkProduceTimeout,
	},
	{
		Name: "producer/lost_answers",
		Quotes: []string{
			"An error says that the message is certainly not stored", "Once ProducerOptions.Timeout is over",
			"CodeUnknownOutcome: the message may or may not be stored",
		},
		Needs: []Capability{CanLoseProduceAnswers},
		run:   checkLostAnswers,
	},
	{
		Name:   "producer/close",
		Quotes: []string{"After Close, done is called with ErrClosed", "Flush first to have them stored", "Close may be called twice. [Producer]", "CodeClosed: the producer, consumer or broker was closed"},
		run:    checkProducerClose,
	},
	{
		Name:   "producer/close_unreachable",
		Quotes: []string{"Close answers every message that is still unanswered"},
		Needs:  []Capability{CanDisconnect},
		run:    checkProducerCloseUnreachable,
	},
	{
		Name:   "producer/close_lost_answers",
		Quotes: []string{"Close answers every message that is still unanswered"},
		Needs:  []Capability{CanLoseProduceAnswers},
		run:    checkProducerCloseLostAnswers,
	},
}

// numbered returns messages with one key, and so for one partition.
func numbered(topic, key string, n int) []*broker.OutgoingMessage {
	messages := make([]*broker.OutgoingMessage, 0, n)
	for i := range n {
		messages = append(messages, &broker.OutgoingMessage{
			Topic: topic, Partition: broker.AnyPartition, Key: []byte(key), Value: fmt.Appendf(nil, "%s %d", key, i),
		})
	}
	return messages
}

func (e *env) readAll(topic string, n int) []received {
	e.Helper()
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	r.awaitMessages(n)
	e.pause()
	return r.all()
}

func checkAnswersAndOrder(e *env) {
	topic := e.topic(3)
	p := e.openProducer(broker.ProducerOptions{})
	const keys, each = 5, 200
	var messages []*broker.OutgoingMessage
	for i := range each {
		for key := range keys {
			messages = append(messages, numbered(topic, fmt.Sprintf("key %d", key), i+1)[i])
		}
	}
	answers := newAnswers(e, len(messages))
	for i, m := range messages {
		p.ProduceAsync(m, answers.callback(i))
	}
	byMessage := answers.await(e.h.Patience)
	last := map[int32]int{}
	for _, a := range answers.ordered() {
		if a.err != nil {
			e.Fatalf("message %d: %v", a.index, a.err)
		}
		if before, ok := last[a.receipt.Partition]; ok && before > a.index {
			e.Errorf("message %d of partition %d was answered after message %d", a.index, a.receipt.Partition, before)
		}
		last[a.receipt.Partition] = a.index
	}
	var want []stored
	for i, a := range byMessage {
		want = append(want, stored{messages[i], a.receipt})
	}
	e.assertSame("the topic", e.readAll(topic, len(want)), want)
	if n := answers.count(); n != len(messages) {
		e.Errorf("%d answers for %d messages", n, len(messages))
	}
}

func checkConcurrentProduce(e *env) {
	topic := e.topic(2)
	p := e.openProducer(broker.ProducerOptions{})
	var want []stored
	var mu sync.Mutex
	var calls sync.WaitGroup
	for n := range 4 {
		calls.Go(func() {
			messages := numbered(topic, fmt.Sprintf("producer %d", n), 100)
			answers := newAnswers(e, len(messages))
			for i, m := range messages {
				p.ProduceAsync(m, answers.callback(i))
			}
			ctx, cancel := e.patience()
			defer cancel()
			if err := p.Flush(ctx); err != nil {
				e.Errorf("Flush: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range answers.ordered() {
				want = append(want, stored{messages[a.index], a.receipt})
			}
		})
	}
	calls.Wait()
	got := e.readAll(topic, 400)
	if len(got) != 400 || len(want) != 400 {
		e.Errorf("400 messages were produced, %d answered and %d received", len(want), len(got))
	}
	next := map[string]int{}
	for _, m := range got {
		key := string(m.Key)
		if expected := fmt.Sprintf("%s %d", key, next[key]); string(m.Value) != expected {
			e.Errorf("%q came instead of %q", m.Value, expected)
		}
		next[key]++
	}
}

func checkReceipts(e *env) {
	topic := e.topic(3)
	want := map[string]stored{}
	for _, s := range e.produce(topic, 30) {
		want[string(s.Value)] = s
	}
	for _, m := range e.readAll(topic, len(want)) {
		s := want[string(m.Value)]
		if s.ID != "" && s.ID != m.ID {
			e.Errorf("the receipt says ID %q, the message %q", s.ID, m.ID)
		}
		if s.MessageReceipt.Partition != m.partition.Partition {
			e.Errorf("the receipt says partition %d, the message is from %s", s.MessageReceipt.Partition, m.partition)
		}
		if !s.MessageReceipt.Timestamp.Equal(m.Timestamp) {
			e.Errorf("the receipt says %v, the message %v", s.MessageReceipt.Timestamp, m.Timestamp)
		}
	}
}

func checkEqualKeys(e *env) {
	topic := e.topic(5)
	partitions := map[string]int32{}
	for range 2 { // two producers agree
		p := e.openProducer(broker.ProducerOptions{})
		for _, key := range []string{"", "a", "b", "\xff\x00", "a longer key"} {
			for _, s := range e.store(p, numbered(topic, key, 3)...) {
				before, ok := partitions[key]
				if ok && before != s.MessageReceipt.Partition {
					e.Errorf("messages with key %q are in partitions %d and %d", key, before, s.MessageReceipt.Partition)
				}
				partitions[key] = s.MessageReceipt.Partition
			}
		}
	}
}

func checkProduceUnknownTopic(e *env) {
	known, unknown := e.topic(1), e.unique("unknown")
	p := e.openProducer(broker.ProducerOptions{})
	begin := time.Now()
	lost := newAnswers(e, 1)
	p.ProduceAsync(&broker.OutgoingMessage{Topic: unknown, Partition: broker.AnyPartition}, lost.callback(0))
	e.store(p, numbered(known, "key", 10)...)
	if took := time.Since(begin); lost.count() == 0 && took > contractLimit {
		e.Errorf("a message of an unknown topic held others up for %v", took)
	}
	err := lost.await(contractLimit + grace)[0].err
	e.assertCode("a message of an unknown topic", err, broker.CodeTopicNotFound)
	if typed, ok := errors.AsType[*broker.Error](err); ok && typed.Topic != unknown {
		e.Errorf("the error names topic %q, want %q", typed.Topic, unknown)
	}
}

func checkProduceUnknownPartition(e *env) {
	topic := e.topic(2)
	p := e.openProducer(broker.ProducerOptions{})
	lost := newAnswers(e, 1)
	p.ProduceAsync(&broker.OutgoingMessage{Topic: topic, Partition: 2}, lost.callback(0))
	e.store(p, numbered(topic, "key", 10)...)
	err := lost.await(contractLimit + grace)[0].err
	e.assertCode("a message of an unknown partition", err, broker.CodePartitionNotFound)
	if typed, ok := errors.AsType[*broker.Error](err); ok && (typed.Topic != topic || typed.Partition != 2) {
		e.Errorf("the error is about %q, partition %d; want %q, partition 2", typed.Topic, typed.Partition, topic)
	}
}

func checkTooLarge(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{MaxMessageBytes: e.TooLarge})
	answers := newAnswers(e, 3)
	for i, size := range []int{10, e.TooLarge, 10} {
		p.ProduceAsync(&broker.OutgoingMessage{
			Topic: topic, Partition: broker.AnyPartition, Value: incompressible(size),
		}, answers.callback(i))
	}
	got := answers.await(e.h.Patience)
	e.assertCode("a message that is too large", got[1].err, broker.CodeMessageTooLarge)
	for _, i := range []int{0, 2} {
		if got[i].err != nil {
			e.Errorf("a message beside one that is too large: %v", got[i].err)
		}
	}
	if n := len(e.readAll(topic, 2)); n != 2 {
		e.Errorf("%d messages are in the topic, want 2", n)
	}
}

// incompressible returns bytes that look random, and are the same every time.
func incompressible(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242) // Marsaglia's xorshift, https://doi.org/10.18637/jss.v008.i14
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func checkLarge(e *env) {
	topic := e.topic(1)
	const size = 900_000 // what brokers accept by default
	value := incompressible(size)
	e.store(e.openProducer(broker.ProducerOptions{}), &broker.OutgoingMessage{
		Topic: topic, Partition: broker.AnyPartition, Value: value,
	})
	if got := e.readAll(topic, 1); string(got[0].Value) != string(value) {
		e.Errorf("a message of %d bytes came back otherwise, with %d", size, len(got[0].Value))
	}
}

func checkMessageIsFreeAfterDone(e *env) {
	topic := e.topic(1)
	m := &broker.OutgoingMessage{
		Topic: topic, Partition: broker.AnyPartition, Key: []byte("key"), Value: []byte("value"),
		Headers: []broker.Header{{Key: "h", Value: []byte("header")}},
	}
	e.store(e.openProducer(broker.ProducerOptions{}), m)
	copy(m.Key, "XXX")
	copy(m.Value, "XXXXX")
	copy(m.Headers[0].Value, "XXXXXX")
	m.Headers[0].Key = "X"
	got := e.readAll(topic, 1)[0]
	if string(got.Key) != "key" || string(got.Value) != "value" || len(got.Headers) != 1 ||
		got.Headers[0].Key != "h" || string(got.Headers[0].Value) != "header" {
		e.Errorf("what the caller did to the message after done came through: %+v", got.Message)
	}
}

func checkFlush(e *env) {
	topic := e.topic(2)
	p := e.openProducer(broker.ProducerOptions{})
	ctx, cancel := e.patience()
	defer cancel()
	for round := range 20 {
		answers := newAnswers(e, 50)
		for i, m := range e.outgoing(topic, 50) {
			p.ProduceAsync(m, answers.callback(i))
		}
		if err := p.Flush(ctx); err != nil {
			e.Errorf("Flush: %v", err)
		}
		if n := answers.count(); n != 50 {
			e.Errorf("round %d: Flush returned with %d of 50 messages answered", round, n)
		}
	}
	if err := p.Flush(ctx); err != nil {
		e.Errorf("Flush with nothing to do: %v", err)
	}
}

func checkProducerClose(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{})
	before := newAnswers(e, 1)
	p.ProduceAsync(numbered(topic, "key", 1)[0], before.callback(0))
	ctx, cancel := e.patience()
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		e.Errorf("Flush: %v", err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	}
	if a := before.ordered(); len(a) != 1 || a[0].err != nil {
		e.Errorf("a flushed message was answered with %+v", a)
	}
	after := newAnswers(e, 1)
	p.ProduceAsync(numbered(topic, "key", 1)[0], after.callback(0))
	e.assertClosed("ProduceAsync", after.await(promptly)[0].err)
}
