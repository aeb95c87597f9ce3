package brokertest

import (
	"bytes"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var messageChecks = []Check{
	{
		Name: "message/round_trip",
		Quotes: []string{
			"Message is a message that a Consumer received", "Header is one entry of a message's ordered, repeatable headers",
			"Key is whatever bytes the broker holds", "Value is nil if absent, which is another value than empty",
			"Key and Value are nil if absent, which is another value than empty. [OutgoingMessage]",
			"Key and Value are nil if absent, which is another value than empty. [Message]",
			"Size is the number of bytes of key, value and headers",
		},
		run: checkRoundTrip,
	},
	{
		Name:   "message/timestamps",
		Quotes: []string{"Timestamp is when the event happened, to the millisecond", "Zero means the time of ProduceAsync"},
		run:    checkTimestamps,
	},
	{
		Name:   "message/id_is_stable",
		Quotes: []string{"ID is the public identity of the message"},
		run:    checkIDIsStable,
	},
	{
		Name:   "message/id_after_topic_is_created_again",
		Quotes: []string{"ID is the public identity of the message"},
		Needs:  []Capability{CanDeleteTopic},
		run:    checkIDAfterTopicIsCreatedAgain,
	},
	{
		Name:   "message/order",
		Quotes: []string{"Position orders the messages of a partition", "EventMessages carries messages of an assigned partition", "There is at least one"},
		run:    checkOrder,
	},
}

// oddMessages are messages that careless code changes.
func oddMessages(topic string) []*broker.OutgoingMessage {
	absent, empty, some := []byte(nil), []byte{}, []byte("\x00\xffbytes")
	messages := []*broker.OutgoingMessage{}
	for _, key := range [][]byte{absent, empty, some} {
		for _, value := range [][]byte{absent, empty, some} {
			messages = append(messages, &broker.OutgoingMessage{Key: key, Value: value})
		}
	}
	for _, headers := range [][]broker.Header{
		{{Key: "absent"}, {Key: "empty", Value: empty}, {Key: "some", Value: some}},
		{{Key: "z", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "z", Value: []byte("3")}},
		{{Key: "", Value: some}},
		{{Key: "not UTF-8: \xff\xfe\x00", Value: some}},
	} {
		messages = append(messages, &broker.OutgoingMessage{Value: some, Headers: headers})
	}
	for _, m := range messages {
		m.Topic, m.Partition = topic, broker.AnyPartition
	}
	return messages
}

func checkRoundTrip(e *env) {
	topic := e.topic(1)
	want := e.store(e.openProducer(broker.ProducerOptions{}), oddMessages(topic)...)
	got := e.readAll(topic, len(want))
	if len(got) != len(want) {
		e.Fatalf("%d messages came of %d", len(got), len(want))
	}
	for i, m := range got {
		w := want[i]
		if !sameBytes(m.Key, w.Key) || !sameBytes(m.Value, w.Value) || !slices.EqualFunc(m.Headers, w.Headers, sameHeader) {
			e.Errorf("stored: key %#v, value %#v, headers %#v\nreceived: key %#v, value %#v, headers %#v",
				w.Key, w.Value, w.Headers, m.Key, m.Value, m.Headers)
		}
		if m.Size() != w.Size() {
			e.Errorf("the size was %d and is %d", w.Size(), m.Size())
		}
	}
}

// sameBytes tells absent from empty.
func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func sameHeader(a, b broker.Header) bool { return a.Key == b.Key && sameBytes(a.Value, b.Value) }

func checkTimestamps(e *env) {
	topic := e.topic(1)
	p := e.openProducer(broker.ProducerOptions{})
	begin := time.Now().Truncate(time.Millisecond)
	given := []time.Time{
		{},
		time.Date(2001, 2, 3, 4, 5, 6, 789_999_999, time.UTC),
		time.Now().Add(-24 * time.Hour),
		time.Date(2024, 2, 29, 12, 0, 0, 1_000_000, time.FixedZone("east", 5*3600)),
	}
	messages := numbered(topic, "key", len(given))
	for i, m := range messages {
		m.Timestamp = given[i]
	}
	e.store(p, messages...)
	end := time.Now()
	for i, m := range e.readAll(topic, len(given)) {
		switch {
		case !given[i].IsZero() && m.Timestamp.UnixMilli() != given[i].UnixMilli():
			e.Errorf("the timestamp was %v and is %v", given[i], m.Timestamp)
		case given[i].IsZero() && (m.Timestamp.Before(begin) || m.Timestamp.After(end)):
			e.Errorf("without a timestamp it is %v, but ProduceAsync was between %v and %v", m.Timestamp, begin, end)
		case m.Timestamp.Nanosecond()%int(time.Millisecond) != 0:
			e.Errorf("the timestamp %v has more than milliseconds", m.Timestamp)
		}
	}
}

func checkIDIsStable(e *env) {
	topic := e.topic(2)
	want := e.produce(topic, 20)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	ids := map[string]string{} // of values
	owners := map[string]string{}
	for _, m := range first.awaitMessages(len(want)) {
		ids[string(m.Value)] = m.ID
		if other, taken := owners[m.ID]; taken {
			e.Errorf("%q and %q have the same ID %q", other, m.Value, m.ID)
		}
		owners[m.ID] = string(m.Value)
	}
	first.leave()
	redelivered := e.joinAnother(opts).awaitMessages(len(want))
	for _, m := range append(redelivered, e.readAll(topic, len(want))...) {
		if m.ID != ids[string(m.Value)] {
			e.Errorf("the ID of %q was %q and is %q", m.Value, ids[string(m.Value)], m.ID)
		}
	}
}

func checkIDAfterTopicIsCreatedAgain(e *env) {
	topic := e.topic(1)
	e.produce(topic, 3)
	first := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	old := first.awaitMessages(3)
	first.leave()
	e.DeleteTopic(e, topic)
	e.CreateTopic(e, topic, 1)
	// What the backend knows of the old topic is no hindrance for long.
	produced := e.produceEventually(topic, 3)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	second := e.join(opts)
	fresh := second.awaitMessages(len(produced))
	for _, m := range fresh {
		for _, o := range old {
			if m.ID == o.ID {
				e.Errorf("the ID %q is of a message of the deleted topic and of one of the new topic", m.ID)
			}
		}
	}
	// The old IDs are of no message of this consumer's.
	for _, o := range old {
		if id, ok := second.ResolveID(o.ID); ok {
			second.Ack(id)
		}
	}
	second.leave()
	again := e.join(opts).awaitMessages(len(produced))
	e.assertSame("after ACKs with IDs of the deleted topic", again, produced)
}

// produceEventually stores n messages in a topic that was just created again:
// until the backend has noticed, messages may fail.
func (e *env) produceEventually(topic string, n int) []stored {
	e.Helper()
	ctx, cancel := e.patience()
	defer cancel()
	for {
		p := e.openProducer(broker.ProducerOptions{})
		answers := newAnswers(e, 1)
		first := e.outgoing(topic, 1)[0]
		p.ProduceAsync(first, answers.callback(0))
		a := answers.await(e.h.Patience)[0]
		if a.err == nil {
			return append([]stored{{first, a.receipt}}, e.store(p, e.outgoing(topic, n-1)...)...)
		}
		if ctx.Err() != nil {
			e.Fatalf("nothing can be stored in a topic that was created again: %v", a.err)
		}
		time.Sleep(50 * time.Millisecond) // no signal says when the new topic is known
	}
}

func checkOrder(e *env) {
	topic := e.topic(4)
	want := e.produce(topic, 500)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	want = append(want, e.produce(topic, 500)...)
	r.awaitMessages(len(want))
	e.pause()
	e.assertSame("what was received", r.all(), want)
}
