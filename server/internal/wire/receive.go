package wire

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// DecodeError says that a request has been received and can't be decoded: it
// isn't protobuf of its type, has a string that isn't valid UTF-8, or would take too
// much memory.
type DecodeError struct {
	// Err is what the decoder says. It quotes nothing of the request but the names
	// of fields.
	Err error
}

// Error says what the decoder says.
func (e *DecodeError) Error() string { return fmt.Sprintf("the request can't be decoded: %v", e.Err) }

// Unwrap returns what the decoder says.
func (e *DecodeError) Unwrap() error { return e.Err }

// Receive receives the next request of a stream into request, which must be
// empty, as Recv does, except that a request that can't be decoded is a
// *DecodeError and leaves the stream as it is. With Recv, grpc-go ends the stream
// on the spot with a status of its own, and what the server still has to answer
// is lost. (It still does if a request is above grpc.MaxRecvMsgSize.)
//
// Like Recv, it may be called while another goroutine sends.
func Receive(stream grpc.ServerStream, request proto.Message) error {
	f := frame{request: request}
	if err := stream.RecvMsg(&f); err != nil {
		return err
	}
	if f.err != nil {
		return &DecodeError{Err: f.err}
	}
	return nil
}

// frame is a message to grpc-go's codec that decodes itself: the first generation
// of protobuf messages in Go had this method, and the codec still calls it. It
// never fails.
type frame struct {
	request proto.Message
	err     error
}

// Unmarshal decodes the request. It copies what it needs of data.
func (f *frame) Unmarshal(data []byte) error {
	if f.err = checkParts(data); f.err == nil {
		f.err = proto.Unmarshal(data, f.request)
	}
	return nil
}

// Reset, String and ProtoMessage make frame a message of that generation.

func (f *frame) Reset() { proto.Reset(f.request) }

func (f *frame) String() string {
	return fmt.Sprintf("a %s", f.request.ProtoReflect().Descriptor().FullName())
}

func (*frame) ProtoMessage() {}
