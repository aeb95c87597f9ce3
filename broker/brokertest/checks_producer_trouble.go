package brokertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

func checkFlushUnreachable(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{})
	e.SetReachable(e, false)
	answers := newAnswers(e, 1)
	p.ProduceAsync(numbered(topic, "key", 1)[0], answers.callback(0))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	var err error
	e.within(promptly, "Flush", func() { err = p.Flush(ctx) })
	if !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("Flush of an unreachable broker: %v, want the context's error", err)
	}
	e.SetReachable(e, true)
	answers.await(e.h.Patience)
}

func checkNeverBlocks(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{Timeout: 5 * time.Minute})
	e.SetReachable(e, false)
	const n = 60_000 // more than clients of brokers buffer by default
	answers := newAnswers(e, n)
	m := numbered(topic, "key", 1)[0]
	e.within(contractLimit, "ProduceAsync of many messages", func() {
		for i := range n {
			p.ProduceAsync(m, answers.callback(i))
		}
	})
	if got := answers.count(); got != 0 {
		e.Errorf("%d messages were answered although the broker is unreachable and their time isn't up", got)
	}
	e.SetReachable(e, true)
	for i, a := range answers.await(e.h.Patience) {
		if a.err != nil {
			e.Fatalf("message %d: %v", i, a.err)
		}
	}
}

// checkProduceTimeout uses a producer that never had a connection, so that it is
// certain of its messages.
func checkProduceTimeout(e *env) {
	topic := e.topic(1)
	const timeout = time.Second
	messages := numbered(topic, "key", 3)
	for _, m := range messages {
		m.Timestamp = time.Now().Add(-time.Hour) // doesn't count
	}
	e.store(e.openProducer(broker.ProducerOptions{Timeout: 10 * timeout}), messages[0])
	e.SetReachable(e, false)
	p := e.openProducer(broker.ProducerOptions{Timeout: timeout})
	begin := time.Now()
	answers := newAnswers(e, 2)
	p.ProduceAsync(messages[1], answers.callback(0))
	p.ProduceAsync(messages[2], answers.callback(1))
	for i, a := range answers.await(timeout + contractLimit + grace) {
		e.assertCode(fmt.Sprintf("message %d after the timeout", i), a.err, broker.CodeUnavailable)
		if took := a.at.Sub(begin); took < timeout*9/10 {
			e.Errorf("message %d failed after %v, before its timeout of %v", i, took, timeout)
		}
	}
	e.SetReachable(e, true)
	if n := len(e.readAll(topic, 1)); n != 1 {
		e.Errorf("%d messages are in the topic, want the first alone: the others failed", n)
	}
}

// checkLostAnswers: whatever is said of the messages in the end is true.
func checkLostAnswers(e *env) {
	topic := e.topic(1)
	// Long enough for a busy broker to store what isn't lost, also in a new topic.
	const timeout, n = 4 * time.Second, 10
	e.store(e.openProducer(broker.ProducerOptions{}), numbered(topic, "first", 1)...)
	p := e.openProducer(broker.ProducerOptions{Timeout: timeout})
	e.store(p, numbered(topic, "before", 1)...)
	e.LoseProduceAnswers(e, true)
	messages := numbered(topic, "key", n)
	answers := newAnswers(e, n)
	for i, m := range messages {
		p.ProduceAsync(m, answers.callback(i))
	}
	time.Sleep(timeout + e.h.Quiet)
	for _, a := range answers.ordered() {
		e.assertCode("a message whose answer is lost", a.err, broker.CodeUnknownOutcome)
	}
	e.LoseProduceAnswers(e, false)
	found := map[string]int{}
	ended := answers.await(e.h.Patience)
	e.store(p, numbered(topic, "after", 1)...)
	for _, m := range e.readAll(topic, 3) {
		found[string(m.Value)]++
	}
	for i, a := range ended {
		value := string(messages[i].Value)
		switch copies := found[value]; {
		case a.err == nil && copies != 1:
			e.Errorf("%q was confirmed and is in the topic %d times", value, copies)
		case a.err != nil && !errors.Is(a.err, broker.CodeUnknownOutcome) && copies != 0:
			e.Errorf("%q failed (%v) and is in the topic", value, a.err)
		}
	}
}

func checkProducerCloseUnreachable(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{})
	e.SetReachable(e, false)
	answers := newAnswers(e, 10)
	for i, m := range numbered(topic, "key", 10) {
		p.ProduceAsync(m, answers.callback(i))
	}
	e.within(contractLimit+grace, "Close", func() {
		if err := p.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	})
	if n := answers.count(); n != 10 {
		e.Fatalf("Close returned with %d of 10 messages answered", n)
	}
	for i, a := range answers.await(0) {
		if !errors.Is(a.err, broker.ErrClosed) && !errors.Is(a.err, broker.CodeUnknownOutcome) {
			e.Errorf("message %d was answered with %v", i, a.err)
		}
	}
	e.SetReachable(e, true)
}

func checkProducerCloseLostAnswers(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{})
	e.store(p, numbered(topic, "before", 1)...)
	e.LoseProduceAnswers(e, true)
	answers := newAnswers(e, 1)
	p.ProduceAsync(numbered(topic, "key", 1)[0], answers.callback(0))
	e.readAll(topic, 2) // it is stored
	e.within(contractLimit+grace, "Close", func() {
		if err := p.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	})
	e.LoseProduceAnswers(e, false)
	e.assertCode("a stored message whose answer is lost", answers.await(0)[0].err, broker.CodeUnknownOutcome)
}
