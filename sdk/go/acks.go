package messageproxy

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// maxAckFrameBytes is the most that a frame of several ACKs takes. For what is larger,
// grpc-go clears a buffer of 1 MiB.
const maxAckFrameBytes = 32 << 10

// ackFrame is a ConsumeRequest with an AckRequest, for the SendMsg of a Consume stream.
// It encodes itself, as produceFrame does.
type ackFrame struct {
	protoreflect.Message
	ids   []string // which are UTF-8
	bytes int      // of the AckRequest
}

func newAckFrame() *ackFrame {
	return &ackFrame{Message: (*messageproxyv1.ConsumeRequest)(nil).ProtoReflect()}
}

// fill puts as many of ids into the frame as fit, one at least, and returns the others.
// The frame refers to ids until it is filled again.
func (f *ackFrame) fill(ids []string) (rest []string) {
	n, bytes := 0, 0
	for n < len(ids) {
		more := sizeInside(len(ids[n]))
		if n > 0 && sizeInside(bytes+more) > maxAckFrameBytes {
			break
		}
		bytes += more
		n++
	}
	f.ids, f.bytes = ids[:n], bytes
	return ids[n:]
}

func (f *ackFrame) size() int { return sizeInside(f.bytes) }

func (f *ackFrame) appendTo(b []byte) []byte {
	b = appendInside(b, 2, f.bytes) // ConsumeRequest.ack
	for _, id := range f.ids {
		b = append(appendInside(b, 1, len(id)), id...) // AckRequest.message_ids
	}
	return b
}

// ProtoReflect makes f a message to every codec that is made of protobuf-go.
func (f *ackFrame) ProtoReflect() protoreflect.Message { return f }

// ProtoMethods is what protobuf-go asks a message for that encodes itself.
func (*ackFrame) ProtoMethods() *protoiface.Methods { return &encoderMethods }
