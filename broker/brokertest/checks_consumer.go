package brokertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var consumerChecks = []Check{
	{
		Name: "consumer/poll",
		Quotes: []string{
			"PollMessages waits until there is something to tell", "It returns ctx's error when ctx ends",
			"Events are what PollMessages returns", "Event is one of the Event… types",
			"EventAssigned says that the consumer has these partitions", "Their messages follow",
			"None of them was assigned before", "TopicPartition names a partition of a topic",
		},
		run: checkPoll,
	},
	{
		Name:   "consumer/poll_belongs_to_caller",
		Quotes: []string{"What it returns belongs to the caller"},
		run:    checkPollBelongsToCaller,
	},
	{
		Name:   "consumer/concurrent_calls",
		Quotes: []string{"PollMessages is called by one goroutine at a time"},
		run:    checkConcurrentConsumerCalls,
	},
	{
		Name: "consumer/start_earliest",
		Quotes: []string{
			"Start is where the subscription begins in a partition in which it has no position", "The start positions",
		},
		run: checkStartEarliest,
	},
	{
		Name:    "consumer/start_latest_is_durable",
		Quotes:  []string{"With StartLatest the position is written down durably"},
		Feature: StartLatest,
		run:     checkStartLatestIsDurable,
	},
	{
		Name:    "consumer/added_partitions_begin_at_earliest",
		Quotes:  []string{"With StartLatest the position is written down durably"},
		Needs:   []Capability{CanAddPartitions},
		Feature: StartLatest,
		run:     checkAddedPartitions,
	},
	{
		Name: "consumer/resolve_id",
		Quotes: []string{
			"ResolveID turns the public ID of a message", "It answers false for text that isn't the ID",
			"It costs no I/O", "MessageID names a message to the consumer",
		},
		run: checkResolveID,
	},
	{
		Name: "consumer/pause",
		Quotes: []string{
			"PausePartitions stops fetching partitions", "A partition is fetched when neither this nor its window",
			"Both ignore partitions that aren't assigned", "Neither blocks",
		},
		run: checkPause,
	},
	{
		Name:   "consumer/release_of_what_is_kept",
		Quotes: []string{"Partitions that are not being revoked are ignored", "It doesn't block"},
		run:    checkReleaseOfWhatIsKept,
	},
	{
		Name: "consumer/close",
		Quotes: []string{
			"Close makes ACKs durable and leaves the subscription", "Outstanding messages are dropped without an event",
			"Close may be called twice. [Consumer]", "ErrClosed is returned by a producer, consumer or broker",
		},
		run: checkConsumerClose,
	},
	{
		Name:   "consumer/close_unreachable",
		Quotes: []string{"It returns ctx's error if ctx ends first"},
		Needs:  []Capability{CanDisconnect},
		run:    checkConsumerCloseUnreachable,
	},
	{
		Name: "consumer/expired",
		Quotes: []string{
			"EventExpired says that the broker deleted messages", "The partition goes on with the oldest message that is left",
			"Count is how many messages are missing at most",
		},
		Needs: []Capability{CanDeleteMessages},
		run:   checkExpired,
	},
}

func checkPoll(e *env) {
	topic := e.topic(2)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.joinSilently(e.Broker, opts)
	ctx, cancel := e.patience()
	defer cancel()
	for len(r.keptLocked()) < 2 { // nobody else polls yet
		events, err := r.PollMessages(ctx)
		if err != nil {
			e.Fatalf("PollMessages: %v", err)
		}
		r.note(events, nil)
	}
	e.assertPollWaits(r)
	want := e.produce(topic, 10)
	r.start()
	e.assertSame("after the assignment", r.awaitMessages(len(want)), want)
	r.stop()
	r.leave()
	_, err := r.PollMessages(ctx)
	e.assertClosed("PollMessages", err)
}

// assertPollWaits checks that a poll that has nothing to tell returns when its
// context ends, and not before.
func (e *env) assertPollWaits(r *reader) {
	e.Helper()
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		ctx, cancel := context.WithTimeout(context.Background(), e.h.Quiet)
		if errors.Is(end, context.Canceled) {
			cancel()
		}
		var events broker.Events
		var err error
		e.within(e.h.Quiet+promptly, "PollMessages", func() { events, err = r.PollMessages(ctx) })
		if !errors.Is(err, end) || len(events) > 0 {
			e.Errorf("PollMessages with nothing to tell: %v, %v; want %v", events, err, end)
		}
		cancel()
	}
}

func checkPollBelongsToCaller(e *env) {
	topic := e.topic(1)
	want := e.store(e.openProducer(broker.ProducerOptions{}), &broker.OutgoingMessage{
		Topic: topic, Partition: broker.AnyPartition, Key: []byte("key"), Value: []byte("value"),
		Headers: []broker.Header{{Key: "h", Value: []byte("header")}},
	})
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	m := first.awaitMessages(1)[0]
	copy(m.Key, "XXX")
	copy(m.Value, "XXXXX")
	copy(m.Headers[0].Value, "XXXXXX")
	_ = append(m.Key, "beyond the key"...)
	_ = append(m.Value, "beyond the value"...)
	first.leave()
	again := e.join(opts).awaitMessages(1)[0]
	if !sameBytes(again.Key, want[0].Key) || !sameBytes(again.Value, want[0].Value) ||
		len(again.Headers) != 1 || string(again.Headers[0].Value) != "header" {
		e.Errorf("what the caller did to a message shows when it is delivered again: %+v", again.Message)
	}
}

func checkConcurrentConsumerCalls(e *env) {
	topic := e.topic(2)
	want := e.produce(topic, 400)
	opts := broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, PartitionWindow: 50,
	}
	r := e.join(opts)
	r.awaitAssigned(2)
	done := make(chan struct{})
	var calls sync.WaitGroup
	for _, call := range []func(){
		func() { r.ack(r.all()...) },
		func() { r.ack(r.all()...) },
		func() { r.PausePartitions(r.kept()...); r.ResumePartitions(r.kept()...) },
		func() { r.Release(r.kept()...) },
		func() {
			for _, m := range r.all() {
				r.ResolveID(m.ID)
			}
		},
	} {
		calls.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
					call()
				}
			}
		})
	}
	r.awaitMessages(len(want))
	close(done)
	calls.Wait()
	e.assertSame("in spite of all calls", r.all(), want)
}

func checkStartEarliest(e *env) {
	topic := e.topic(2)
	want := e.produce(topic, 20)
	e.assertSame("a new subscription", e.readAll(topic, len(want)), want)
}

// checkStartLatestIsDurable: a subscription that leaves without having received
// anything still knows where it began.
func checkStartLatestIsDurable(e *env) {
	topic := e.topic(2)
	e.produce(topic, 10)
	opts := broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, Start: broker.StartLatest,
	}
	first := e.join(opts)
	first.awaitAssigned(2)
	first.leave()
	want := e.produce(topic, 10)
	second := e.join(opts)
	second.awaitMessages(len(want))
	e.pause()
	e.assertSame("what came while nobody was there", second.all(), want)
}

func checkAddedPartitions(e *env) {
	topic := e.topic(1)
	opts := broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, Start: broker.StartLatest,
	}
	first := e.join(opts)
	first.awaitAssigned(1)
	first.leave()
	e.AddPartitions(e, topic, 3)
	var want []stored
	used := map[int32]bool{}
	ctx, cancel := e.patience()
	defer cancel()
	for len(used) < 3 { // until the producer knows of them too
		for _, s := range e.produce(topic, 10) {
			want = append(want, s)
			used[s.MessageReceipt.Partition] = true
		}
		if ctx.Err() != nil {
			e.Fatalf("of 3 partitions the producer uses %v", used)
		}
	}
	second := e.join(opts)
	second.awaitMessages(len(want))
	e.assertSame("with partitions that were added", second.all(), want)
}

func checkResolveID(e *env) {
	topic, other := e.topic(1), e.topic(1)
	e.produce(topic, 1)
	e.produce(other, 1)
	foreign := e.readAll(other, 1)[0].ID
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	m := r.awaitMessages(1)[0]
	if id, ok := r.ResolveID(m.ID); !ok || id != m.messageID() {
		e.Errorf("the ID %q resolves to %v, %v", m.ID, id, ok)
	}
	malformed := []string{
		"", " ", "x", "0", "-1", "💥", "\xff", "\x00", "/", "..", "//", strings.Repeat("9", 600),
		m.ID + " ", " " + m.ID, m.ID + "\x00", m.ID + "!", strings.Repeat(m.ID, 100), strings.Repeat("a", 1<<20), foreign,
	}
	e.within(promptly, "ResolveID", func() {
		for _, text := range malformed {
			if id, ok := r.ResolveID(text); ok {
				e.Errorf("%.100q is no ID of this consumer's, but resolves to %v", text, id)
			}
		}
	})
	r.leave()
	e.within(promptly, "ResolveID", func() { r.ResolveID(m.ID) })
}

func checkPause(e *env) {
	topic := e.topic(2)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	r.awaitAssigned(2)
	paused := broker.TopicPartition{Topic: topic, Partition: 0}
	r.PausePartitions(paused, broker.TopicPartition{Topic: topic, Partition: 77}, broker.TopicPartition{Topic: "another"})
	want := e.produce(topic, 40)
	open := 0
	for _, s := range want {
		if s.topicPartition() != paused {
			open++
		}
	}
	r.awaitMessages(open)
	e.pause()
	if got := of(r.all(), paused); len(got) > 0 {
		e.Errorf("a paused partition goes on: %v", values(got))
	}
	r.ResumePartitions(paused, broker.TopicPartition{Topic: topic, Partition: 77}, broker.TopicPartition{Topic: "another"})
	e.assertSame("after the pause", r.awaitMessages(len(want)), want)
}

func checkReleaseOfWhatIsKept(e *env) {
	topic := e.topic(2)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	r.awaitAssigned(2)
	e.within(promptly, "Release", func() {
		r.Release(append(r.kept(), broker.TopicPartition{Topic: "another"}, broker.TopicPartition{Topic: topic, Partition: 77})...)
	})
	want := e.produce(topic, 20)
	r.awaitMessages(len(want))
	e.pause()
	if n := countEvents[broker.EventLost](r); n > 0 {
		e.Errorf("Release of partitions that aren't being revoked loses some")
	}
	e.assertSame("after the release", r.all(), want)
}

func checkConsumerClose(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	got := r.awaitMessages(len(want))
	r.ack(got[:4]...)
	r.leave()
	<-r.stopped
	if n := countEvents[broker.EventLost](r) + countEvents[broker.EventRevoking](r); n > 0 {
		e.Errorf("Close is followed by %d events", n)
	}
	r.leave()
	ctx, cancel := e.patience()
	defer cancel()
	_, err := r.PollMessages(ctx)
	e.assertClosed("PollMessages", err)
	e.within(promptly, "the calls after Close", func() { // they do nothing
		r.ack(got...)
		r.PausePartitions(got[0].partition)
		r.ResumePartitions(got[0].partition)
		r.Release(got[0].partition)
	})
	second := e.join(opts)
	second.awaitMessages(6)
	e.pause()
	e.assertSame("the next consumer", second.all(), want[4:])
}

func checkConsumerCloseUnreachable(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 5)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	got := r.awaitMessages(len(want))
	e.SetReachable(e, false)
	e.unsound[r.Consumer] = true
	r.ack(got[:2]...)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	e.within(500*time.Millisecond+grace, "Close", func() {
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("Close with an unreachable broker: %v, want the context's error", err)
		}
	})
	e.SetReachable(e, true)
	// The broker may take its time to notice; what wasn't ACKed comes again.
	again := e.join(opts)
	again.await("the messages that weren't ACKed", func() bool {
		return len(again.messages) > 0 && string(again.messages[len(again.messages)-1].Value) == string(want[4].Value)
	})
	e.assertSame("what wasn't ACKed", again.all(), want[5-len(again.all()):])
	if len(again.all()) < 3 {
		e.Errorf("of 5 messages with 2 ACKed %v came again", values(again.all()))
	}
}

func checkExpired(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	got := first.awaitMessages(10)
	first.ack(got[:2]...)
	first.leave()
	e.DeleteBefore(e, got[0].partition, got[5].Position) // 2, 3 and 4 were to be delivered again
	second := e.join(opts)
	second.awaitMessages(5)
	e.pause()
	e.assertSame("what is left", second.all(), want[5:])
	expired, _ := awaitEvent[broker.EventExpired](second, e.h.Patience, 0)
	if expired.Partition != got[0].partition || expired.Count != 0 && expired.Count < 3 {
		e.Errorf("3 messages of %s expired, but the event says %+v", got[0].partition, expired)
	}
	if n := countEvents[broker.EventExpired](second); n != 1 {
		e.Errorf("the same messages were reported %d times", n)
	}
}
