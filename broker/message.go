package broker

import (
	"fmt"
	"time"
)

// TopicPartition names a partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns "topic/partition".
func (p TopicPartition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Partition) }

// Compare orders partitions by topic, then by number.
func (p TopicPartition) Compare(q TopicPartition) int {
	switch {
	case p.Topic < q.Topic:
		return -1
	case p.Topic > q.Topic:
		return 1
	}
	return int(p.Partition) - int(q.Partition)
}

// Header is one entry of a message's ordered, repeatable headers.
type Header struct {
	// Key is whatever bytes the broker holds, possibly not valid UTF-8.
	Key string
	// Value is nil if absent, which is another value than empty.
	Value []byte
}

// AnyPartition, as OutgoingMessage.Partition, leaves the choice to the key, or to
// the backend if there is none.
const AnyPartition int32 = -1

// OutgoingMessage is a message to store.
type OutgoingMessage struct {
	Topic string
	// Partition is AnyPartition or the number of a partition, which needs
	// Features.ExplicitPartition.
	Partition int32
	// Key and Value are nil if absent, which is another value than empty.
	Key     []byte
	Value   []byte
	Headers []Header
	// Timestamp is when the event happened, to the millisecond. Zero means the time
	// of ProduceAsync.
	Timestamp time.Time
}

// Size is the number of bytes of key, value and headers.
func (m *OutgoingMessage) Size() int { return payloadSize(m.Key, m.Value, m.Headers) }

// MessageReceipt says where a message is stored.
type MessageReceipt struct {
	// ID is the Message.ID that consumers will see; empty if the broker doesn't
	// tell.
	ID        string
	Partition int32
	Timestamp time.Time
}

// Message is a message that a Consumer received.
type Message struct {
	// ID is the public identity of the message: valid UTF-8, at most 512 bytes, the
	// same whenever and by whichever consumer the message is received, and never
	// that of another message, not even of a topic of the same name that was
	// deleted and created again.
	ID string
	// Position orders the messages of a partition: PollMessages returns them by
	// ascending position, with gaps, for as long as the partition is assigned.
	Position uint64
	// Key and Value are nil if absent, which is another value than empty.
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp time.Time
}

// Size is the number of bytes of key, value and headers.
func (m *Message) Size() int { return payloadSize(m.Key, m.Value, m.Headers) }

func payloadSize(key, value []byte, headers []Header) int {
	n := len(key) + len(value)
	for _, h := range headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// MessageID names a message to the consumer that received it.
type MessageID struct {
	Partition TopicPartition
	Position  uint64
}
