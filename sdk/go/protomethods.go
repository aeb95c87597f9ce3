package messageproxy

import "google.golang.org/protobuf/runtime/protoiface"

// encoder is a message that encodes itself, in the wire format of protobuf.
type encoder interface {
	// size is the number of bytes that appendTo appends.
	size() int
	appendTo(b []byte) []byte
}

// encoderMethods are the ProtoMethods of every encoder.
var encoderMethods = protoiface.Methods{
	Flags: protoiface.SupportMarshalDeterministic,
	Size: func(in protoiface.SizeInput) protoiface.SizeOutput {
		return protoiface.SizeOutput{Size: in.Message.(encoder).size()}
	},
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		return protoiface.MarshalOutput{Buf: in.Message.(encoder).appendTo(in.Buf)}, nil
	},
	CheckInitialized: checkInitialized,
}

// decoder is a message that decodes itself.
type decoder interface {
	// decode fills the message, which is empty, and keeps nothing of data.
	decode(data []byte) error
}

// decoderMethods are the ProtoMethods of every decoder.
var decoderMethods = protoiface.Methods{
	Flags: protoiface.SupportUnmarshalDiscardUnknown,
	Unmarshal: func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, in.Message.(decoder).decode(in.Buf)
	},
	CheckInitialized: checkInitialized,
}

// checkInitialized finds nothing: no field of the contract is required.
func checkInitialized(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
	return protoiface.CheckInitializedOutput{}, nil
}
