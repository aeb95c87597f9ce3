package brokertest

import "github.com/messageproxy/messageproxy/broker"

var windowChecks = []Check{
	{
		Name: "window/bound",
		Quotes: []string{
			"PartitionWindow is how many messages of a partition may be outstanding", "One fetch may overshoot it",
			"ACKs may count before they are durable, as long as that is a matter of moments",
			"The consumer stops fetching a partition that has as many and goes on when half are left",
		},
		run: checkWindow,
	},
	{
		Name:   "window/default",
		Quotes: []string{"Zero means 1,000"},
		run:    checkDefaultWindow,
	},
	{
		Name:   "window/other_partitions_go_on",
		Quotes: []string{"PartitionWindow is how many messages of a partition may be outstanding"},
		run:    checkWindowIsPerPartition,
	},
	{
		Name:   "window/and_pause",
		Quotes: []string{"A partition is fetched when neither this nor its window"},
		run:    checkWindowAndPause,
	},
}

// The sizes of the messages: big ones, of which one fetch brings few, for small
// windows, and smaller ones for the default window.
const (
	bigMessage   = 16 << 10
	smallMessage = 1 << 10
)

// awaitFull waits until a partition's window is full and returns all messages.
func (e *env) awaitFull(r *reader, atHand, window, size int) []received {
	e.Helper()
	r.awaitMessages(atHand + window)
	e.pause()
	got := r.all()
	e.assertOutstanding(len(got)-atHand, window, size)
	return got
}

func (e *env) assertOutstanding(n, window, size int) {
	e.Helper()
	if overshoot := e.h.Overshoot(size); n > window+overshoot {
		e.Fatalf("%d messages are outstanding, the window is %d and one fetch brings %d more at most", n, window, overshoot)
	}
}

// ackToTheEnd ACKs whatever comes until there is nothing left.
func (e *env) ackToTheEnd(r *reader, acked, window, size int, want []stored) {
	e.Helper()
	for acked < len(want) {
		got := r.awaitMessages(min(acked+window/2, len(want)))
		e.assertOutstanding(len(got)-acked, window, size)
		r.ack(got[acked:]...)
		acked = len(got)
	}
	e.assertSame("through the window", r.all(), want)
}

func checkWindow(e *env) {
	topic := e.topic(1)
	const window = 10
	want := e.produceSized(topic, 5*window+5*e.h.Overshoot(bigMessage), bigMessage)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, PartitionWindow: window,
	})
	got := e.awaitFull(r, 0, window, bigMessage)
	above := len(got) - window/2 - 1 // one more than half is left
	r.ack(got[:above]...)
	e.pause()
	if n := len(r.all()); n != len(got) {
		e.Errorf("with %d messages outstanding of a window of %d, %d more came", window/2+1, window, n-len(got))
	}
	r.ack(got[above])
	r.awaitMessages(len(got) + 1)
	e.ackToTheEnd(r, above+1, window, bigMessage, want)
}

func checkDefaultWindow(e *env) {
	topic := e.topic(1)
	const window = 1000
	want := e.produceSized(topic, window+500+2*e.h.Overshoot(smallMessage), smallMessage)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	e.awaitFull(r, 0, window, smallMessage)
	e.ackToTheEnd(r, 0, window, smallMessage, want)
}

func checkWindowIsPerPartition(e *env) {
	topic, other := e.topic(1), e.topic(1)
	e.produceSized(topic, 30+2*e.h.Overshoot(bigMessage), bigMessage)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic, other}, PartitionWindow: 10,
	})
	full := e.awaitFull(r, 0, 10, bigMessage)
	for range 3 {
		atHand := len(r.all())
		want := e.produce(other, 5)
		got := r.awaitMore(atHand, len(want))
		e.assertSame("beside a full partition", got, want)
		r.ack(got...)
	}
	if n := len(of(r.all(), full[0].partition)); n != len(full) {
		e.Errorf("a full partition brought %d more messages", n-len(full))
	}
}

func checkWindowAndPause(e *env) {
	topic := e.topic(1)
	want := e.produceSized(topic, 30+3*e.h.Overshoot(bigMessage), bigMessage)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, PartitionWindow: 10,
	})
	got := e.awaitFull(r, 0, 10, bigMessage)
	r.PausePartitions(got[0].partition)
	r.ack(got...)
	e.pause()
	if n := len(r.all()); n != len(got) {
		e.Errorf("a partition that is paused goes on when its window is free: %d more messages", n-len(got))
	}
	r.ResumePartitions(got[0].partition)
	more := e.awaitFull(r, len(got), 10, bigMessage)
	r.PausePartitions(got[0].partition)
	r.ResumePartitions(got[0].partition)
	e.pause()
	if n := len(r.all()); n != len(more) {
		e.Errorf("a partition whose window is full goes on when it is resumed: %d more messages", n-len(more))
	}
	e.assertSame("the first messages", more, want[:len(more)])
}
