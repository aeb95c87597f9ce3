package brokertest

import (
	"context"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// T is the part of testing.TB that checks use.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// Harness connects the suite with a backend.
type Harness struct {
	// Open opens the backend for one check and registers with t.Cleanup whatever has
	// to be closed after it. Checks run in parallel, unless Sequential.
	Open func(t T) Backend

	// Cannot says, for each function that Open leaves nil in Backend, why.
	Cannot map[Capability]string

	// Overshoot says how many messages of a size (in bytes that don't compress) one
	// fetch of a partition may bring beyond its window. nil means none.
	Overshoot func(size int) int
	// Patience is how long the suite waits for what must come, where the contract
	// gives no limit. Zero means 30 seconds.
	Patience time.Duration
	// Quiet is how long the suite waits to see that something doesn't come. Zero
	// means 300 milliseconds.
	Quiet time.Duration
	// Sequential runs one check at a time, for a broker that they share and disturb.
	Sequential bool
}

// Backend is the backend under test, opened for one check, with the
// administration of the broker behind it. Functions fail the check through t if
// they don't succeed, and return when the broker has done what they say.
type Backend struct {
	// Broker is the backend. The suite closes it; that it is closed twice is no
	// fault.
	Broker broker.Broker
	// Another is a backend on the same broker, as in another process; the suite
	// opens the second consumers of subscriptions through it. nil means Broker.
	Another broker.Broker

	// CreateTopic creates a topic that doesn't exist.
	CreateTopic func(t T, topic string, partitions int)
	// TooLarge is a size of a message, in bytes, that the broker refuses. Producers
	// are opened with at least that as ProducerOptions.MaxMessageBytes.
	TooLarge int

	DeleteTopic        func(t T, topic string)
	AddPartitions      func(t T, topic string, total int)
	DeleteBefore       func(t T, partition broker.TopicPartition, position uint64)
	SetReachable       func(t T, reachable bool)
	FailAcks           func(t T, subscription string, fail bool)
	LoseProduceAnswers func(t T, lose bool)
	LosePartition      func(t T, subscription string, partition broker.TopicPartition)
	BreakConsumers     func(t T, subscription string)
}

// Capability is something that a harness can do to the broker.
type Capability string

// The capabilities, each with the field of Backend that it is about.
const (
	// CanRefuseLarge: TooLarge isn't zero.
	CanRefuseLarge Capability = "refuse a message for its size"
	// CanDeleteTopic: DeleteTopic deletes a topic for good.
	CanDeleteTopic Capability = "delete a topic"
	// CanAddPartitions: AddPartitions raises the number of partitions to total.
	CanAddPartitions Capability = "add partitions to a topic"
	// CanDeleteMessages: DeleteBefore deletes the messages before the one with this
	// Message.Position, as retention does.
	CanDeleteMessages Capability = "delete old messages"
	// CanDisconnect: SetReachable cuts both backends off from the broker and
	// connects them again.
	CanDisconnect Capability = "make the broker unreachable"
	// CanFailAcks: FailAcks makes the ACKs of a subscription fail to become durable,
	// and heals that; polls go on.
	CanFailAcks Capability = "keep ACKs from becoming durable"
	// CanLoseProduceAnswers: messages that are produced are stored, but the broker's
	// answers don't arrive until that is healed.
	CanLoseProduceAnswers Capability = "lose the answers to produced messages"
	// CanLosePartition: LosePartition takes a partition from the consumer that has
	// it, without notice, and gives it back to it later.
	CanLosePartition Capability = "take a partition without notice"
	// CanBreakConsumers: BreakConsumers causes trouble from which the consumers of a
	// subscription can't recover, but new ones are not affected.
	CanBreakConsumers Capability = "break a consumer for good"
)

// Capabilities returns all capabilities.
func Capabilities() []Capability {
	return []Capability{
		CanRefuseLarge, CanDeleteTopic, CanAddPartitions, CanDeleteMessages, CanDisconnect,
		CanFailAcks, CanLoseProduceAnswers, CanLosePartition, CanBreakConsumers,
	}
}

// has reports whether the backend was opened with what a capability needs.
func (b *Backend) has(c Capability) bool {
	switch c {
	case CanRefuseLarge:
		return b.TooLarge != 0
	case CanDeleteTopic:
		return b.DeleteTopic != nil
	case CanAddPartitions:
		return b.AddPartitions != nil
	case CanDeleteMessages:
		return b.DeleteBefore != nil
	case CanDisconnect:
		return b.SetReachable != nil
	case CanFailAcks:
		return b.FailAcks != nil
	case CanLoseProduceAnswers:
		return b.LoseProduceAnswers != nil
	case CanLosePartition:
		return b.LosePartition != nil
	case CanBreakConsumers:
		return b.BreakConsumers != nil
	}
	return false
}

func (h Harness) withDefaults() Harness {
	if h.Patience == 0 {
		h.Patience = 30 * time.Second
	}
	if h.Quiet == 0 {
		h.Quiet = 300 * time.Millisecond
	}
	if h.Overshoot == nil {
		h.Overshoot = func(int) int { return 0 }
	}
	return h
}
