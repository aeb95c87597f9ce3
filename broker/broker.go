package broker

import (
	"context"
	"time"
)

// Broker opens producers and consumers. All methods may be called
// concurrently.
type Broker interface {
	// Features says which optional parts of the contract this backend has. The
	// answer never changes.
	Features() Features

	// NewProducer opens a producer. It does not wait for the broker: a broker
	// that can't be reached shows in the results of the producer's messages. ctx
	// bounds the call alone, not the producer.
	NewProducer(ctx context.Context, opts ProducerOptions) (Producer, error)

	// NewConsumer joins a subscription. It returns once the broker has confirmed
	// that the topics exist (or has created them, where the backend is configured
	// to); partitions are assigned later, through PollMessages. It returns within
	// 10 seconds or when ctx ends, whichever is first; ctx bounds the call alone,
	// not the consumer. Errors are *Error: CodeTopicNotFound names the topic,
	// CodeUnavailable means that the broker can't be reached, CodeUnsupported that
	// an option needs a feature that the backend doesn't have.
	NewConsumer(ctx context.Context, opts ConsumerOptions) (Consumer, error)

	// Ping returns nil if the broker answered, and an *Error otherwise, when ctx
	// ends at the latest.
	Ping(ctx context.Context) error

	// Close ends what the backend itself keeps open. Producers and consumers are
	// closed by whoever opened them, before. Close may be called twice.
	Close() error
}

// Features are the optional parts of the contract. Whoever asks for one that is
// false gets CodeUnsupported, never something else in its place.
type Features struct {
	// ExplicitPartition: OutgoingMessage.Partition may name a partition.
	ExplicitPartition bool
	// StartLatest: a subscription may begin at the latest message.
	StartLatest bool
	// SharedSubscriptions: several consumers, in this process or in others, may
	// join one subscription, and the broker shares the partitions among them.
	SharedSubscriptions bool
}

// ProducerOptions configure a Producer.
type ProducerOptions struct {
	// Timeout is how long the producer tries to store a message, counted from
	// ProduceAsync whatever the message's own timestamp. Zero means 30 seconds.
	Timeout time.Duration
	// MaxMessageBytes is the largest message (key, value and headers) that will be
	// given to the producer. Zero means 16 MiB.
	MaxMessageBytes int
}

// Producer stores messages. All methods may be called concurrently.
type Producer interface {
	// ProduceAsync takes a message and never blocks. done is called exactly once,
	// from another goroutine or from this one, with the receipt of the stored
	// message or with an *Error. done must not block and must not call the
	// producer. The producer keeps message and everything it refers to, unchanged,
	// until done is called.
	//
	// An error says that the message is certainly not stored and never will be,
	// unless its code is CodeUnknownOutcome. Once ProducerOptions.Timeout is over,
	// the producer fails with CodeUnavailable the messages of which it is certain
	// that; one that may have reached the broker it keeps until it knows, however
	// long that takes, and whoever needs an answer before then must say "unknown".
	//
	// The messages of one partition are stored, and done is called for those that
	// are, in the order of their ProduceAsync calls. Messages with equal, present
	// keys go to the same partition of a topic. A message for a topic or a
	// partition that doesn't exist fails within 10 seconds with CodeTopicNotFound
	// or CodePartitionNotFound, and holds up no message of another topic.
	//
	// After Close, done is called with ErrClosed.
	ProduceAsync(message *OutgoingMessage, done func(MessageReceipt, error))

	// Flush returns when every message given to ProduceAsync before has been
	// answered, or ctx's error when ctx ends before.
	Flush(ctx context.Context) error

	// Close answers every message that is still unanswered (CodeUnknownOutcome
	// where it may be stored, ErrClosed where it certainly is not) and ends the
	// producer. Flush first to have them stored. Close may be called twice.
	Close() error
}

// ConsumerOptions configure a Consumer.
type ConsumerOptions struct {
	// Subscription is the name of the durable reading position. Required.
	Subscription string
	// Topics are the topics to read, without repetitions. Required.
	Topics []string
	// Start is where the subscription begins in a partition in which it has no
	// position. With StartLatest the position is written down durably when the
	// partition is first assigned, before its first message; partitions added to a
	// topic later begin at the earliest message.
	Start StartPosition
	// PartitionWindow is how many messages of a partition may be outstanding
	// (returned by PollMessages and not yet durably ACKed). The consumer stops
	// fetching a partition that has as many and goes on when half are left. One
	// fetch may overshoot it. ACKs may count before they are durable, as long as
	// that is a matter of moments. Zero means 1,000.
	PartitionWindow int
	// HandoverTimeout is how long the consumer waits, after EventRevoking, for
	// Release. Zero means 10 seconds.
	HandoverTimeout time.Duration
}

// StartPosition is where a subscription begins.
type StartPosition int

// The start positions.
const (
	StartEarliest StartPosition = iota
	StartLatest
)

// Consumer is one member of a subscription. PollMessages is called by one
// goroutine at a time; all other methods may be called concurrently, also with
// PollMessages.
type Consumer interface {
	// PollMessages waits until there is something to tell and returns it in the
	// order in which it happened. What it returns belongs to the caller.
	//
	// It returns ctx's error when ctx ends, and ErrClosed after Close. Any other
	// error is an *Error and says that messages can't be received now; it comes
	// within 10 seconds of the beginning of the trouble, an unreachable broker
	// included, even if no message was due. If it is retryable, the caller polls
	// again (each such call fails again within 10 seconds while the trouble lasts)
	// and the first call that returns without an error says that the trouble is
	// over; it comes as soon as the trouble is over, if need be without events. If
	// it isn't retryable, this consumer will not recover: the caller closes it and
	// opens another. Events returned together with an error are valid.
	PollMessages(ctx context.Context) (Events, error)

	// Ack says that messages are done with, in any order. It never blocks, keeps no
	// reference to ids, and returns before the ACKs are durable. ACKs of messages
	// that this consumer doesn't have outstanding (never returned, already ACKed, of
	// a partition that is gone) are ignored.
	//
	// ACKs are made durable on a schedule of the backend's, and at the latest when
	// the partition is released or the consumer closed. A message that isn't ACKed
	// when its partition goes is delivered again, to whoever gets the partition.
	Ack(ids ...MessageID)

	// ResolveID turns the public ID of a message (Message.ID) into the one for
	// Ack. It answers false for text that isn't the ID of a message of a partition
	// that this consumer has had assigned; true does not say that the message
	// exists. It costs no I/O.
	ResolveID(id string) (MessageID, bool)

	// PausePartitions stops fetching partitions, for the caller's own reasons,
	// until ResumePartitions; what was fetched before may still be returned. A
	// partition is fetched when neither this nor its window has it paused. Both
	// ignore partitions that aren't assigned; a partition that goes and comes back
	// comes back unpaused. Neither blocks.
	PausePartitions(partitions ...TopicPartition)
	ResumePartitions(partitions ...TopicPartition)

	// Release answers EventRevoking for these partitions: everything worth waiting
	// for has been ACKed. The consumer makes the ACKs durable, lets the partitions
	// go, and reports EventLost. Partitions that are not being revoked are
	// ignored. It doesn't block.
	Release(partitions ...TopicPartition)

	// Close makes ACKs durable and leaves the subscription. It returns ctx's error
	// if ctx ends first: then ACKs may be lost (their messages are delivered
	// again), and the broker may take its own time to notice that the consumer has
	// gone. Outstanding messages are dropped without an event. Close may be called
	// twice.
	Close(ctx context.Context) error
}
