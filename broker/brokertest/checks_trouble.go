package brokertest

import (
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

var troubleChecks = []Check{
	{
		Name: "trouble/polls_fail_and_recover",
		Quotes: []string{
			"Any other error is an *Error and says that messages can't be received now", "If it is retryable, the caller polls again",
			"Events returned together with an error are valid",
		},
		Needs: []Capability{CanDisconnect},
		run:   checkPollTrouble,
	},
	{
		Name:   "trouble/polls_fail_for_good",
		Quotes: []string{"If it isn't retryable, this consumer will not recover"},
		Needs:  []Capability{CanBreakConsumers},
		run:    checkBrokenConsumer,
	},
	{
		Name: "trouble/acks_fail_and_recover",
		Quotes: []string{
			"EventAckTrouble says that ACKs can't be made durable", "The consumer goes on trying, and goes on returning messages",
			"It comes within 10 seconds of the beginning of the trouble and again", "EventAckRecovered says that the trouble is over",
		},
		Needs: []Capability{CanFailAcks},
		run:   checkAckTrouble,
	},
	{
		Name:    "trouble/acks_fail_and_partition_goes",
		Quotes:  []string{"EventAckRecovered says that the trouble is over"},
		Needs:   []Capability{CanFailAcks},
		Feature: SharedSubscriptions,
		run:     checkAckTroubleEndsWithPartition,
	},
}

func checkPollTrouble(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 5)
	r := e.join(broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}})
	r.awaitMessages(len(want)) // no message is due
	at := r.now()
	e.SetReachable(e, false)
	for range 2 {
		var err error
		at, err = r.awaitFailedPoll(contractLimit+grace, at)
		e.assertCode("PollMessages", err, broker.CodeUnavailable)
		if !broker.IsRetryable(err) {
			e.Fatalf("the error isn't retryable: %v", err)
		}
	}
	healed := r.now()
	e.SetReachable(e, true)
	r.awaitGoodPoll(e.h.Patience, healed)
	want = append(want, e.produce(topic, 5)...)
	r.await("a message that is new", func() bool {
		return len(r.messages) > 0 && string(r.messages[len(r.messages)-1].Value) == string(want[9].Value)
	})
}

func checkBrokenConsumer(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 5)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	r.awaitMessages(len(want))
	begin := r.now()
	e.unsound[r.Consumer] = true
	e.BreakConsumers(e, opts.Subscription)
	_, err := r.awaitFailedPoll(contractLimit+grace, begin)
	if broker.IsRetryable(err) {
		e.Errorf("the error is retryable: %v", err)
	}
	ctx, cancel := e.patience()
	defer cancel()
	_ = r.Close(ctx)
	e.assertSame("the next consumer", e.join(opts).awaitMessages(len(want)), want)
}

func checkAckTrouble(e *env) {
	topic := e.topic(1)
	want := e.produce(topic, 10)
	opts := broker.ConsumerOptions{Subscription: e.unique("subscription"), Topics: []string{topic}}
	r := e.join(opts)
	got := r.awaitMessages(10)
	e.FailAcks(e, opts.Subscription, true)
	begin := r.now()
	r.ack(got[:5]...)
	_, at := awaitEvent[broker.EventAckTrouble](r, contractLimit+grace, begin)
	awaitEvent[broker.EventAckTrouble](r, contractLimit+grace, at)
	if n := countEvents[broker.EventAckRecovered](r); n > 0 {
		e.Errorf("the trouble lasts, but EventAckRecovered came")
	}
	want = append(want, e.produce(topic, 5)...) // delivery goes on
	r.awaitMessages(len(want))
	r.ack(got[5:8]...)
	healed := r.now()
	e.FailAcks(e, opts.Subscription, false)
	awaitEvent[broker.EventAckRecovered](r, contractLimit+grace, healed)
	r.leave()
	second := e.join(opts)
	second.awaitMessages(7)
	e.pause()
	e.assertSame("what wasn't ACKed", second.all(), want[8:])
}

// checkAckTroubleEndsWithPartition: ACKs of a partition that goes before they
// could be made durable are no trouble any more.
func checkAckTroubleEndsWithPartition(e *env) {
	h := e.beginHandover(4 * time.Second)
	e.FailAcks(e, h.opts.Subscription, true)
	h.first.ack(h.moving()...)
	h.first.Release(h.revoked...) // can't be done before the time is up
	lost := h.first.awaitLost(h.revoked...)
	if countEvents[broker.EventAckTrouble](h.first) > 0 {
		awaitEvent[broker.EventAckRecovered](h.first, contractLimit+grace, 0)
	}
	if took := lost.Sub(h.at); took > 4*time.Second+grace {
		e.Errorf("ACKs that can't be made durable held a partition up for %v", took)
	}
	e.FailAcks(e, h.opts.Subscription, false)
	want := h.storedIn(h.revoked...)
	e.assertSame("what wasn't durable", h.second.awaitMessages(len(want)), want)
}
