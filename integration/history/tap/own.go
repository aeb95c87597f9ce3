package tap

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// The server and the SDK have messages of their own, which encode and decode themselves.

// copyOf is m if it is a T, and what it encodes to if it passes for one, into which is
// empty. It is nil if m is of another type.
func copyOf[T proto.Message](m any, into T) T {
	var none T
	if own, ok := m.(T); ok {
		return own
	}
	p, ok := m.(proto.Message)
	if !ok || p.ProtoReflect().Descriptor() != into.ProtoReflect().Descriptor() {
		return none
	}
	data, err := proto.Marshal(p)
	if err != nil || proto.Unmarshal(data, into) != nil {
		return none // the stream is about to end with the error
	}
	return into
}

// receive receives m, and has heard get it as a T, which into is.
func receive[T proto.Message](stream grpc.ClientStream, m any, into T, heard func(T)) error {
	own, ok := m.(proto.Message)
	if _, is := m.(T); is || !ok {
		err := stream.RecvMsg(m)
		if err == nil && is {
			heard(m.(T))
		}
		return err
	}
	both := &decodedTwice{own: own, copied: into}
	if err := stream.RecvMsg(both); err != nil {
		return err
	}
	if both.isCopied {
		heard(into)
	}
	return nil
}

// decodedTwice is a message of the first generation of protobuf in Go, with a decoder of
// its own, which gRPC's codec still calls.
type decodedTwice struct {
	own, copied proto.Message
	isCopied    bool
}

// Unmarshal decodes as own does, with its error.
func (d *decodedTwice) Unmarshal(data []byte) error {
	if err := proto.Unmarshal(data, d.own); err != nil {
		return err
	}
	d.isCopied = proto.Unmarshal(data, d.copied) == nil
	return nil
}

// Reset, String and ProtoMessage make it one.

func (d *decodedTwice) Reset() {}

func (d *decodedTwice) String() string { return "a message that is decoded twice" }

func (*decodedTwice) ProtoMessage() {}
