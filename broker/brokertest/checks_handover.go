package brokertest

import (
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var handoverChecks = []Check{
	{
		Name: "handover/release",
		Quotes: []string{
			"EventRevoking says that assigned partitions are about to go", "No messages of them follow",
			"EventLost follows in either case", "Release answers EventRevoking for these partitions",
			"The consumer makes the ACKs durable, lets the partitions go", "EventLost says that assigned partitions are gone",
			"A message that isn't ACKed when its partition goes is delivered again",
			"ACKs are made durable on a schedule of the backend's",
		},
		Feature: SharedSubscriptions,
		run:     checkHandoverByRelease,
	},
	{
		Name: "handover/timeout",
		Quotes: []string{
			"HandoverTimeout is how long the consumer waits, after EventRevoking", "EventLost follows in either case",
			"No messages of them follow",
		},
		Feature: SharedSubscriptions,
		run:     checkHandoverByTimeout,
	},
	{
		Name:    "handover/default_timeout",
		Quotes:  []string{"HandoverTimeout is how long the consumer waits, after EventRevoking", "Zero means 10 seconds"},
		Feature: SharedSubscriptions,
		run:     checkDefaultHandoverTimeout,
	},
	{
		Name:    "handover/acks_after_lost",
		Quotes:  []string{"ACKs of their messages are ignored from now on", "ACKs of messages that this consumer doesn't have outstanding"},
		Feature: SharedSubscriptions,
		run:     checkAcksAfterLost,
	},
	{
		Name:    "handover/pause_ends",
		Quotes:  []string{"Both ignore partitions that aren't assigned"},
		Feature: SharedSubscriptions,
		run:     checkPauseEndsWithPartition,
	},
	{
		Name:    "handover/leaving",
		Quotes:  []string{"Close makes ACKs durable and leaves the subscription", "A message that isn't ACKed when its partition goes is delivered again"},
		Feature: SharedSubscriptions,
		run:     checkHandoverByLeaving,
	},
	{
		Name: "handover/lost_without_notice",
		Quotes: []string{
			"EventLost says that assigned partitions are gone", "ACKs of their messages are ignored from now on",
			"A message that isn't ACKed when its partition goes is delivered again",
		},
		Needs: []Capability{CanLosePartition},
		run:   checkLostWithoutNotice,
	},
}

// handover is a subscription whose first consumer has everything, un-ACKed, and
// has been told to hand some partitions over to a second one.
type handover struct {
	opts          broker.ConsumerOptions
	want          []stored
	first, second *reader
	revoked       []broker.TopicPartition
	timeLeft      time.Duration
	at            time.Time
}

func (e *env) beginHandover(timeout time.Duration) *handover {
	e.Helper()
	topic := e.topic(2)
	h := &handover{want: e.produce(topic, 60), opts: broker.ConsumerOptions{
		Subscription: e.unique("subscription"), Topics: []string{topic}, HandoverTimeout: timeout,
	}}
	h.first = e.join(h.opts)
	h.first.awaitMessages(len(h.want))
	h.second = e.joinAnother(h.opts)
	h.revoked, h.timeLeft, h.at = h.first.awaitRevoking()
	if len(h.revoked) != 1 {
		e.Fatalf("of 2 partitions %v are revoked for a second consumer", h.revoked)
	}
	return h
}

// moving returns the messages of the partition that is handed over.
func (h *handover) moving() []received { return of(h.first.all(), h.revoked...) }

// storedIn returns the stored messages of some partitions.
func (h *handover) storedIn(partitions ...broker.TopicPartition) []stored {
	return slices.DeleteFunc(slices.Clone(h.want), func(s stored) bool {
		return !slices.Contains(partitions, s.topicPartition())
	})
}

func checkHandoverByRelease(e *env) {
	h := e.beginHandover(0)
	moving := h.moving()
	h.first.ack(moving[:3]...)
	h.want = append(h.want, e.produce(h.opts.Topics[0], 20)...) // the revoked partition stays silent
	e.pause()
	if got := h.second.kept(); len(got) > 0 {
		e.Errorf("%v were assigned to the second consumer before the first released them", got)
	}
	e.within(promptly, "Release", func() { h.first.Release(h.revoked...) })
	if took := h.first.awaitLost(h.revoked...).Sub(h.at); took >= h.timeLeft {
		e.Errorf("Release had no effect: the partition was lost after %v, when the time of %v was up", took, h.timeLeft)
	}
	h.second.awaitAssigned(1)
	want := h.storedIn(h.revoked...)[3:]
	h.second.awaitMessages(len(want))
	e.pause()
	e.assertSame("what the second consumer received", h.second.all(), want)
	kept := h.storedIn(h.first.kept()...)
	h.first.await("the rest of the partition that stays", func() bool {
		return len(of(h.first.messages, h.first.keptLocked()...)) >= len(kept)
	})
	e.assertSame("what stays with the first", of(h.first.all(), h.first.kept()...), kept)
}

func checkHandoverByTimeout(e *env) {
	const timeout = 2 * time.Second
	h := e.beginHandover(timeout)
	if h.timeLeft <= 0 || h.timeLeft > timeout {
		e.Errorf("TimeLeft is %v, the timeout %v", h.timeLeft, timeout)
	}
	h.first.ack(h.moving()[:3]...)
	lost := h.first.awaitLost(h.revoked...)
	if took := lost.Sub(h.at); took < h.timeLeft-100*time.Millisecond || took > timeout+grace {
		e.Errorf("the partition was lost %v after EventRevoking, which gave %v", took, h.timeLeft)
	}
	want := h.storedIn(h.revoked...)[3:]
	h.second.awaitMessages(len(want))
	e.pause()
	e.assertSame("what the second consumer received", h.second.all(), want)
}

func checkDefaultHandoverTimeout(e *env) {
	h := e.beginHandover(0)
	if h.timeLeft <= 0 || h.timeLeft > 10*time.Second {
		e.Errorf("TimeLeft is %v, the default is 10 seconds", h.timeLeft)
	}
	e.pause()
	if n := countEvents[broker.EventLost](h.first); n > 0 {
		e.Errorf("the partitions are lost after %v of %v", e.h.Quiet, h.timeLeft)
	}
	h.first.Release(h.revoked...)
	h.second.awaitAssigned(1)
}

func checkAcksAfterLost(e *env) {
	h := e.beginHandover(0)
	moving := h.moving()
	h.first.Release(h.revoked...)
	h.first.awaitLost(h.revoked...)
	h.first.ack(moving...)
	want := h.storedIn(h.revoked...)
	e.assertSame("what the second consumer received", h.second.awaitMessages(len(want)), want)
	h.first.ack(moving...) // now the second consumer's
	atHand := len(h.first.all())
	h.second.leave()
	h.first.awaitAssigned(2)
	e.assertSame("what comes back", h.first.awaitMore(atHand, len(want)), want)
}

func checkPauseEndsWithPartition(e *env) {
	topic := e.topic(2)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	first := e.join(opts)
	first.awaitAssigned(2)
	first.PausePartitions(first.kept()...)
	second := e.joinAnother(opts)
	moved, _, _ := first.awaitRevoking()
	first.Release(moved...)
	second.awaitAssigned(len(moved))
	second.leave()
	first.awaitAssigned(2)
	want := 0
	for _, s := range e.produce(topic, 60) {
		if slices.Contains(moved, s.topicPartition()) {
			want++
		}
	}
	first.awaitMessages(want)
	e.pause()
	if got := first.all(); len(got) != want || len(of(got, moved...)) != want {
		e.Errorf("%d messages were due of what came back unpaused, and none of what stayed paused; %d came", want, len(got))
	}
}

func checkHandoverByLeaving(e *env) {
	h := e.beginHandover(0)
	h.first.Release(h.revoked...)
	h.second.awaitAssigned(1)
	stayed := of(h.first.all(), h.first.kept()...)
	kept := h.storedIn(h.first.kept()...)
	h.first.ack(stayed[:5]...)
	h.first.leave()
	h.second.awaitAssigned(2)
	want := append(h.storedIn(h.revoked...), kept[5:]...)
	h.second.awaitMessages(len(want))
	e.pause()
	e.assertSame("what the second consumer received", h.second.all(), want)
}

func checkLostWithoutNotice(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	got := r.awaitMessages(len(want))
	e.LosePartition(e, opts.Subscription, got[0].partition)
	r.awaitLost(got[0].partition)
	r.ack(got...)
	e.assertSame("what comes back", r.awaitMore(len(want), len(want)), want)
	if n := countEvents[broker.EventRevoking](r); n > 0 {
		e.Errorf("there was notice")
	}
	r.ack(r.all()...)
	r.leave()
	e.assertNothingLeft(opts)
}
