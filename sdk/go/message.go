package messageproxy

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Message is a message, to be produced or consumed. To produce one, set Topic and
// whatever else the message has; the zero values mean "none".
//
// A consumed message can be produced again: set another Topic and give it to
// Produce, which ignores the fields that only consumed messages have.
type Message struct {
	// Topic is where the message goes to or comes from. Required.
	Topic string
	// Key chooses the partition: messages of a topic with equal keys go to the same
	// partition and so stay in order. Nil: none, any partition. Nil and empty are
	// different and both kept.
	Key []byte
	// Value is the payload. Nil (none: a tombstone on a compacted topic) and empty
	// are different and both kept.
	Value []byte
	// Headers are ordered, and keys may repeat.
	Headers []Header
	// Timestamp is when the event happened, to the millisecond. Zero, when
	// producing: the time at which the server receives the message.
	Timestamp time.Time
	// ToPartition sends the message to this partition, whatever its key. Nil: the
	// key chooses. Never set in consumed messages.
	ToPartition *int32

	// ID identifies a consumed message: the same on every delivery, and never that
	// of another message. Ignored when producing.
	ID string
	// Partition is the partition that a consumed message comes from. Ignored when
	// producing; see ToPartition.
	Partition int32
	// DeliveryAttempt is 1 when a consumed message is delivered for the first time,
	// as far as the server knows, 2 the next time, ... A handler that is called
	// again by WithAttempts sees the same number. Ignored when producing.
	DeliveryAttempt int
}

// Header is one entry of a message's headers.
type Header struct {
	// Key must be valid UTF-8.
	Key string
	// Value may be nil, which is another value than empty.
	Value []byte
}

// Receipt says where a produced message is stored.
type Receipt struct {
	// MessageID is the ID that consumers will see. Empty where the broker doesn't
	// tell.
	MessageID string
	// Partition is where the message went.
	Partition int32
	// Timestamp is the stored timestamp, to the millisecond.
	Timestamp time.Time
}

// validate says why m can't be produced, or nil. What it lets through can always
// be encoded, so that no message can break the stream of the others.
func (m *Message) validate(maxBytes int) error {
	if m == nil {
		return invalidMessage("it is nil")
	}
	if m.Topic == "" {
		return invalidMessage("it has no Topic")
	}
	if !utf8.ValidString(m.Topic) {
		return invalidMessage(fmt.Sprintf("its Topic %q is not valid UTF-8", m.Topic))
	}
	for i := range m.Headers {
		if !utf8.ValidString(m.Headers[i].Key) {
			return invalidMessage(fmt.Sprintf("the key of its header %d is not valid UTF-8", i))
		}
	}
	if m.size() > maxBytes {
		return &Error{Code: CodeMessageTooLarge, Message: fmt.Sprintf(
			"the message for topic %q has %d bytes, above the client's limit of %d; if the server takes it, raise WithMaxMessageBytes",
			m.Topic, m.size(), maxBytes)}
	}
	return nil
}

func invalidMessage(why string) *Error {
	return &Error{Code: CodeInvalidArgument, Message: "the message can't be produced: " + why}
}

// headerBytes is about what a header costs beside its own bytes.
const headerBytes = 16

// size is the number of bytes of key, value and headers, and a little for each
// header, so that many small ones don't pass for nothing.
func (m *Message) size() int {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value) + headerBytes
	}
	return n
}
