package brokertest

import (
	"math"

	"github.com/messageproxy/messageproxy/broker"
)

var ackChecks = []Check{
	{
		Name: "ack/in_order",
		Quotes: []string{
			"Ack says that messages are done with", "It never blocks, keeps no reference to ids, and returns before the ACKs are durable",
			"ACKs are made durable on a schedule of the backend's",
		},
		run: checkAckInOrder,
	},
	{
		Name:   "ack/out_of_order",
		Quotes: []string{"Ack says that messages are done with", "A message that isn't ACKed when its partition goes is delivered again"},
		run:    checkAckOutOfOrder,
	},
	{
		Name:   "ack/keeps_no_reference",
		Quotes: []string{"It never blocks, keeps no reference to ids, and returns before the ACKs are durable"},
		run:    checkAckKeepsNoReference,
	},
	{
		Name:   "ack/of_messages_not_outstanding",
		Quotes: []string{"ACKs of messages that this consumer doesn't have outstanding", "It answers false for text that isn't the ID"},
		run:    checkAckOfOthers,
	},
	{
		Name:   "ack/everything",
		Quotes: []string{"Close makes ACKs durable and leaves the subscription"},
		run:    checkAckEverything,
	},
}

func checkAckInOrder(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 20)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	for _, part := range []int{5, 1, 7} {
		r := e.join(opts)
		got := r.awaitMessages(len(want))
		e.pause()
		e.assertSame("after ACKs in order", r.all(), want)
		e.within(promptly, "Ack", func() { r.ack(got[:part]...) })
		r.leave()
		want = want[part:]
	}
}

// checkAckOutOfOrder: what comes after the first message that isn't ACKed may be
// delivered again even if it is ACKed, and what comes before may not.
func checkAckOutOfOrder(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	got := first.awaitMessages(10)
	first.ack(got[9], got[7], got[2], got[0], got[1], got[5])
	first.leave()
	second := e.join(opts)
	must := map[string]bool{}
	for _, i := range []int{3, 4, 6, 8} {
		must[string(want[i].Value)] = true
	}
	second.await("every message that wasn't ACKed", func() bool {
		missing := len(must)
		for _, m := range second.messages {
			if must[string(m.Value)] {
				missing--
			}
		}
		return missing <= 0
	})
	e.pause()
	seen := map[string]int{}
	for _, m := range second.all() {
		seen[string(m.Value)]++
		if seen[string(m.Value)] > 1 {
			e.Errorf("%q was delivered twice to one consumer", m.Value)
		}
	}
	for _, s := range want[:3] {
		if seen[string(s.Value)] > 0 {
			e.Errorf("%q was delivered again, though it and all before it were ACKed", s.Value)
		}
	}
	second.ack(second.all()...)
	second.leave()
	e.assertNothingLeft(opts)
}

// checkAckKeepsNoReference: the caller uses the slice for other ids at once.
func checkAckKeepsNoReference(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	var ids, others []broker.MessageID
	for i, m := range r.awaitMessages(len(want)) {
		if i < 5 {
			ids = append(ids, m.messageID())
		} else {
			others = append(others, m.messageID())
		}
	}
	r.Ack(ids...)
	copy(ids, others)
	e.pause()
	r.leave()
	second := e.join(opts)
	second.awaitMessages(5)
	e.pause()
	e.assertSame("after the ACKs of the first five", second.all(), want[5:])
}

func checkAckOfOthers(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 2)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	got := r.awaitMessages(2)
	r.PausePartitions(got[0].partition)
	later := e.produce(topic, 1) // in the log, and not returned by a poll
	if id, ok := r.ResolveID(later[0].ID); ok {
		r.Ack(id)
	}
	r.ack(got[0], got[0])
	r.ack(got[0])
	r.Ack()
	r.Ack(
		broker.MessageID{}, broker.MessageID{Partition: got[0].partition, Position: math.MaxUint64},
		broker.MessageID{Partition: broker.TopicPartition{Topic: topic, Partition: 99}, Position: got[1].Position},
		broker.MessageID{Partition: broker.TopicPartition{Topic: "another"}, Position: got[1].Position},
		broker.MessageID{Partition: got[0].partition, Position: got[1].Position + 1},
	)
	r.leave()
	second := e.join(opts)
	second.awaitMessages(2)
	e.pause()
	e.assertSame("after ACKs of messages that weren't outstanding", second.all(), append(want[1:], later...))
}

func checkAckEverything(e *env) {
	topic := e.topic(3)
	want := e.produce(topic, 300)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	r.ack(r.awaitMessages(len(want))...)
	r.leave()
	e.assertNothingLeft(opts)
}

// assertNothingLeft checks that a subscription receives only what is new.
func (e *env) assertNothingLeft(opts broker.ConsumerOptions) {
	e.Helper()
	r := e.join(opts)
	r.await("an assignment", func() bool { return len(r.keptLocked()) > 0 })
	e.pause()
	fresh := e.produce(opts.Topics[0], 5)
	r.awaitMessages(len(fresh))
	e.assertSame("after everything was ACKed", r.all(), fresh)
}
