package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
)

// encoder is a message that encodes itself, in the wire format of protobuf.
type encoder interface {
	// size is the number of bytes that appendTo appends.
	size() int
	appendTo(b []byte) []byte
}

// reflection makes a message to protobuf-go, and so to grpc-go's codec, of an encoder:
// it has the two methods called that protobuf-go asks every message for, and passes
// for an empty message of its type otherwise.
type reflection struct {
	protoreflect.Message
	encoder
}

// ProtoMethods is what protobuf-go asks a message for that encodes itself.
func (reflection) ProtoMethods() *protoiface.Methods { return &encoderMethods }

var encoderMethods = protoiface.Methods{
	Flags: protoiface.SupportMarshalDeterministic,
	Size: func(in protoiface.SizeInput) protoiface.SizeOutput {
		return protoiface.SizeOutput{Size: in.Message.(reflection).size()}
	},
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		return protoiface.MarshalOutput{Buf: in.Message.(reflection).appendTo(in.Buf)}, nil
	},
	CheckInitialized: func(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
		return protoiface.CheckInitializedOutput{}, nil
	},
}

// The tag of a field with a number up to 15 is one byte.
const tagBytes = 1

func varintTag(number protowire.Number) byte { return byte(number<<3) | byte(protowire.VarintType) }
func bytesTag(number protowire.Number) byte  { return byte(number<<3) | byte(protowire.BytesType) }

// sizeInside is the size of a field that has so many bytes in it.
func sizeInside(n int) int { return tagBytes + protowire.SizeBytes(n) }

// appendInside begins a field that has n bytes in it, which follow.
func appendInside(b []byte, number protowire.Number, n int) []byte {
	return protowire.AppendVarint(append(b, bytesTag(number)), uint64(n))
}

// A number or string that is zero or empty isn't encoded, unless its field is optional.

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return tagBytes + protowire.SizeVarint(v)
}

func appendVarint(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(append(b, varintTag(number)), v)
}

func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return sizeInside(len(s))
}

func appendString(b []byte, number protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendInside(b, number, len(s)), s...)
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
