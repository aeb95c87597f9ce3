package brokertest

import "github.com/messageproxy/messageproxy/broker"

var windowChecks = []Check{
	{
		Name: "window/bound",
		Quotes: []string{
			"PartitionWindow is how many messages of a partition may be outstanding", "One fetch may overshoot it",
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

// awaitFull waits until a partition's window is full and returns its messages.
func (e *env) awaitFull(r *reader, atHand, window int) []received {
	e.Helper()
	r.awaitMessages(atHand + window)
	e.pause()
	got := r.all()
	if n := len(got) - atHand; n > window+e.h.Overshoot {
		e.Fatalf("%d messages are outstanding, the window is %d and one fetch brings %d more at most", n, window, e.h.Overshoot)
	}
	return got
}

func checkWindow(e *env) {
	topic := e.topic(1)
	const window = 10
	want := e.produce(topic, 5*window+10*e.h.Overshoot)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, PartitionWindow: window,
	})
	got := e.awaitFull(r, 0, window)
	above := len(got) - window/2 - 1 // one more than half is left
	r.ack(got[:above]...)
	e.pause()
	if n := len(r.all()); n != len(got) {
		e.Errorf("with %d messages outstanding of a window of %d, %d more came", window/2+1, window, n-len(got))
	}
	r.ack(got[above])
	r.awaitMessages(len(got) + 1)
	// From here on to the end, however it is ACKed.
	for acked := above + 1; acked < len(want); {
		got = r.awaitMessages(min(acked+window/2, len(want)))
		if n := len(got) - acked; n > window+e.h.Overshoot {
			e.Fatalf("%d messages are outstanding, the window is %d", n, window)
		}
		r.ack(got[acked:]...)
		acked = len(got)
	}
	e.assertSame("through a small window", r.all(), want)
}

func checkDefaultWindow(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 1500+e.h.Overshoot)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	got := e.awaitFull(r, 0, 1000)
	r.ack(got...)
	e.assertSame("through the default window", r.awaitMessages(len(want)), want)
}

func checkWindowIsPerPartition(e *env) {
	topic, other := e.topic(1), e.topic(1)
	e.produce(topic, 30+2*e.h.Overshoot)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic, other}, PartitionWindow: 10,
	})
	full := e.awaitFull(r, 0, 10)
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
	want := e.produce(topic, 30+2*e.h.Overshoot)
	r := e.join(broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, PartitionWindow: 10,
	})
	got := e.awaitFull(r, 0, 10)
	r.PausePartitions(got[0].partition)
	r.ack(got...)
	e.pause()
	if n := len(r.all()); n != len(got) {
		e.Errorf("a partition that is paused goes on when its window is free: %d more messages", n-len(got))
	}
	r.ResumePartitions(got[0].partition)
	more := e.awaitFull(r, len(got), 10)
	r.PausePartitions(got[0].partition)
	r.ResumePartitions(got[0].partition)
	e.pause()
	if n := len(r.all()); n != len(more) {
		e.Errorf("a partition whose window is full goes on when it is resumed: %d more messages", n-len(more))
	}
	e.assertSame("the first messages", more, want[:len(more)])
}
