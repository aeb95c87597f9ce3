package messageproxy

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// produceFrame is a ProduceRequest, for the SendMsg of a Produce stream. It encodes
// itself (to protobuf-go it is a message that has methods for that, and passes for an
// empty one otherwise): the copy of a message that the client keeps is most of its
// encoding, so a frame is put together from what is there.
type produceFrame struct {
	protoreflect.Message
	messages []*pending
	bytes    int
}

func newProduceFrame() *produceFrame {
	return &produceFrame{Message: (*messageproxyv1.ProduceRequest)(nil).ProtoReflect()}
}

// reset empties f, so that what was sent can be freed.
func (f *produceFrame) reset() {
	clear(f.messages)
	f.messages, f.bytes = f.messages[:0], 0
}

// add adds m, whose sequence stays as it is until the frame is sent.
func (f *produceFrame) add(m *pending) {
	f.messages = append(f.messages, m)
	f.bytes += sizeInside(m.wireBytes())
}

func (f *produceFrame) size() int { return f.bytes }

func (f *produceFrame) appendTo(b []byte) []byte {
	for _, m := range f.messages {
		b = appendInside(b, 1, m.wireBytes()) // ProduceRequest.messages
		b = protowire.AppendVarint(append(b, varintTag(1)), m.sequence)
		b = append(b, m.encoded...)
	}
	return b
}

// wireBytes is the size of m as an OutgoingMessage.
func (p *pending) wireBytes() int { return sizeVarint(p.sequence) + len(p.encoded) }

// ProtoReflect makes f a message to every codec that is made of protobuf-go.
func (f *produceFrame) ProtoReflect() protoreflect.Message { return f }

// ProtoMethods is what protobuf-go asks a message for that encodes itself.
func (*produceFrame) ProtoMethods() *protoiface.Methods { return &encoderMethods }

// encode is m as an OutgoingMessage without its sequence, which comes first. It has
// all that m has in one allocation, so nobody minds what the caller does with m
// afterwards.
func (m *Message) encode() []byte {
	b := make([]byte, 0, m.encodedBytes())
	b = append(appendInside(b, 2, len(m.Topic)), m.Topic...)
	b = appendOptional(b, 3, m.Key)
	b = appendOptional(b, 4, m.Value)
	for i := range m.Headers {
		b = m.Headers[i].appendTo(b)
	}
	if m.ToPartition != nil {
		b = protowire.AppendVarint(append(b, varintTag(6)), uint64(int64(*m.ToPartition)))
	}
	if !m.Timestamp.IsZero() {
		b = protowire.AppendVarint(append(b, varintTag(7)), uint64(m.Timestamp.UnixMilli()))
	}
	return b
}

func (m *Message) encodedBytes() int {
	n := sizeInside(len(m.Topic)) + sizeOptional(m.Key) + sizeOptional(m.Value)
	for i := range m.Headers {
		n += sizeInside(m.Headers[i].encodedBytes())
	}
	if m.ToPartition != nil {
		n += sizeVarint(uint64(int64(*m.ToPartition)))
	}
	if !m.Timestamp.IsZero() {
		n += sizeVarint(uint64(m.Timestamp.UnixMilli()))
	}
	return n
}

func (h *Header) appendTo(b []byte) []byte {
	b = appendInside(b, 5, h.encodedBytes()) // OutgoingMessage.headers
	if h.Key != "" {
		b = append(appendInside(b, 1, len(h.Key)), h.Key...)
	}
	return appendOptional(b, 2, h.Value)
}

func (h *Header) encodedBytes() int {
	if h.Key == "" {
		return sizeOptional(h.Value)
	}
	return sizeInside(len(h.Key)) + sizeOptional(h.Value)
}

// The tag of a field with a number up to 15 is one byte.
const tagBytes = 1

func varintTag(number protowire.Number) byte { return byte(number<<3) | byte(protowire.VarintType) }
func bytesTag(number protowire.Number) byte  { return byte(number<<3) | byte(protowire.BytesType) }

func sizeVarint(v uint64) int { return tagBytes + protowire.SizeVarint(v) }

// sizeInside is the size of a field that has so many bytes in it.
func sizeInside(n int) int { return tagBytes + protowire.SizeBytes(n) }

// appendInside begins a field that has n bytes in it, which follow.
func appendInside(b []byte, number protowire.Number, n int) []byte {
	return protowire.AppendVarint(append(b, bytesTag(number)), uint64(n))
}

// sizeOptional is the size of an optional field, which is absent if v is nil.
func sizeOptional(v []byte) int {
	if v == nil {
		return 0
	}
	return sizeInside(len(v))
}

func appendOptional(b []byte, number protowire.Number, v []byte) []byte {
	if v == nil {
		return b
	}
	return append(appendInside(b, number, len(v)), v...)
}
