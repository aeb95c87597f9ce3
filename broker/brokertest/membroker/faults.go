package membroker

import "github.com/messageproxy/messageproxy/broker"

// AllSubscriptions names every subscription to the methods that make them fail.
const AllSubscriptions = ""

// faults are the faults in force, guarded by Broker.mu.
type faults struct {
	unreachable     bool
	poll, acks      faultTable
	produce         func(*broker.OutgoingMessage) error
	lostAnswers     lostAnswers
	newConsumerGate chan struct{} // closed when calls may go on; nil: they may
	closesHeld      bool
}

// faultTable holds errors by subscription.
type faultTable map[string]*broker.Error

func (t faultTable) of(subscription string) *broker.Error {
	if err := t[AllSubscriptions]; err != nil {
		return err
	}
	return t[subscription]
}

func (t *faultTable) set(subscription string, err *broker.Error) {
	if *t == nil {
		*t = faultTable{}
	}
	(*t)[subscription] = err
	if err == nil {
		delete(*t, subscription)
	}
}

// lostAnswers is what happens to the messages and the answers of producers.
type lostAnswers int

const (
	answersArrive lostAnswers = iota
	lostAfterStoring
	lostWithMessage
	unknownAfterStoring
	unknownWithoutMessage
)

// SetReachable cuts the broker off, or heals that. While it is cut off, polls,
// ACKs, NewConsumer, Ping and Close of consumers fail, and producers keep their
// messages until these time out.
func (b *Broker) SetReachable(reachable bool) {
	b.change(func(f *faults) { f.unreachable = !reachable })
}

// FailPolls makes the polls of a subscription fail until it is called with nil.
// If err isn't retryable, those consumers that have polled meanwhile stay dead.
func (b *Broker) FailPolls(subscription string, err *broker.Error) {
	b.change(func(f *faults) { f.poll.set(subscription, err) })
}

// BreakConsumers makes the polls of the consumers that a subscription has now fail
// for good, with an error that isn't retryable. Those that join later are not
// affected.
func (b *Broker) BreakConsumers(subscription string, err *broker.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.subscriptionLocked(subscription).members {
		c.dead = err
		c.wakeUp()
	}
}

// FailAcks keeps the ACKs of a subscription from becoming durable until it is
// called with nil.
func (b *Broker) FailAcks(subscription string, err *broker.Error) {
	b.change(func(f *faults) { f.acks.set(subscription, err) })
}

// FailProduce makes messages fail for which fault returns an error, which should
// be a *broker.Error, until it is called with nil. fault must not call the Broker.
func (b *Broker) FailProduce(fault func(*broker.OutgoingMessage) error) {
	b.change(func(f *faults) { f.produce = fault })
}

// LoseProduceAnswers keeps the answers to produced messages from arriving, until
// HealProduce. Either the messages are stored, or they are lost too; then the
// producers send them again once that is healed, if their time isn't up. A
// producer that is closed meanwhile answers CodeUnknownOutcome.
func (b *Broker) LoseProduceAnswers(stored bool) {
	b.change(func(f *faults) { f.lostAnswers = oneOf(stored, lostAfterStoring, lostWithMessage) })
}

// AnswerUnknown answers produced messages with CodeUnknownOutcome, whether they
// are stored or lost, until HealProduce.
func (b *Broker) AnswerUnknown(stored bool) {
	b.change(func(f *faults) { f.lostAnswers = oneOf(stored, unknownAfterStoring, unknownWithoutMessage) })
}

// HealProduce ends FailProduce, LoseProduceAnswers and AnswerUnknown.
func (b *Broker) HealProduce() {
	b.change(func(f *faults) { f.produce, f.lostAnswers = nil, answersArrive })
}

// HoldNewConsumers makes NewConsumer wait until release is called (or the call's
// own time is up).
func (b *Broker) HoldNewConsumers() (release func()) {
	gate := make(chan struct{})
	b.change(func(f *faults) { f.newConsumerGate = gate })
	return func() {
		b.change(func(f *faults) {
			if f.newConsumerGate == gate {
				f.newConsumerGate = nil
				close(gate)
			}
		})
	}
}

// HoldCloses makes Close of consumers wait until release is called, or until its
// context ends.
func (b *Broker) HoldCloses() (release func()) {
	b.change(func(f *faults) { f.closesHeld = true })
	return func() { b.change(func(f *faults) { f.closesHeld = false }) }
}

// Revoke begins a handover of partitions from the consumers that have them. They
// go to nobody until GiveBack.
func (b *Broker) Revoke(subscription string, partitions ...broker.TopicPartition) {
	b.withhold(subscription, partitions)
}

// Lose takes partitions from the consumers that have them, without notice and
// with the ACKs that aren't durable. They go to nobody until GiveBack.
func (b *Broker) Lose(subscription string, partitions ...broker.TopicPartition) {
	b.mu.Lock()
	s := b.subscriptionLocked(subscription)
	lost := map[*Consumer][]*cursor{}
	for _, tp := range partitions {
		if cur := s.cursors[tp]; cur != nil && cur.owner != nil {
			lost[cur.owner] = append(lost[cur.owner], cur)
		}
		s.withheld[tp] = true
	}
	for c, cursors := range lost {
		c.loseLocked(cursors...)
	}
	b.mu.Unlock()
	b.withhold(subscription, partitions)
}

// GiveBack ends Revoke and Lose: the partitions are given to consumers again.
func (b *Broker) GiveBack(subscription string, partitions ...broker.TopicPartition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subscriptionLocked(subscription)
	for _, tp := range partitions {
		delete(s.withheld, tp)
	}
	s.rebalanceLocked()
}

func (b *Broker) withhold(subscription string, partitions []broker.TopicPartition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subscriptionLocked(subscription)
	for _, tp := range partitions {
		s.withheld[tp] = true
	}
	s.rebalanceLocked()
}

// change changes the faults and lets everybody look again.
func (b *Broker) change(apply func(*faults)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	apply(&b.faults)
	for p := range b.producers {
		p.wakeUp()
	}
	for _, s := range b.subscriptions {
		for _, c := range append([]*Consumer(nil), s.members...) {
			c.retryAcksLocked()
			c.wakeUp()
		}
	}
}

func oneOf(first bool, a, b lostAnswers) lostAnswers {
	if first {
		return a
	}
	return b
}
