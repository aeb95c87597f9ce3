package wire

import (
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// ReceiveAcks is Receive for a Consume stream. If the request is an AckRequest, other is
// nil and ids are what it names. They share one string: whoever keeps an id for long
// clones it.
func ReceiveAcks(stream grpc.ServerStream) (ids []string, other *messageproxyv1.ConsumeRequest, err error) {
	var r acksOrOther
	if err := stream.RecvMsg(&r); err != nil {
		return nil, nil, err
	}
	if r.err != nil {
		return nil, nil, &DecodeError{Err: r.err}
	}
	if r.acks {
		return r.ids, nil, nil
	}
	if ack := r.request.GetAck(); ack != nil {
		return ack.GetMessageIds(), nil, nil
	}
	return nil, r.request, nil
}

// acksOrOther is a message to grpc-go's codec, as frame is.
type acksOrOther struct {
	acks    bool // it was decoded by hand
	ids     []string
	request *messageproxyv1.ConsumeRequest
	err     error
}

// Unmarshal decodes an AckRequest by hand if it is as encoders make it, and everything
// else, and whatever is wrong, with protobuf.
func (r *acksOrOther) Unmarshal(data []byte) error {
	if r.err = checkParts(data); r.err != nil {
		return nil
	}
	if r.ids, r.acks = decodeAcks(data); r.acks {
		return nil
	}
	r.request = new(messageproxyv1.ConsumeRequest)
	r.err = proto.Unmarshal(data, r.request)
	return nil
}

// decodeAcks returns the ids of a ConsumeRequest that consists of an AckRequest that
// consists of ids that are UTF-8; and false if it isn't that.
func decodeAcks(data []byte) (ids []string, ok bool) {
	if len(data) == 0 || data[0] != bytesTag(2) { // ConsumeRequest.ack
		return nil, false
	}
	inside, n := protowire.ConsumeBytes(data[1:])
	if n != len(data)-1 || !utf8.Valid(inside) {
		// No text goes on across a tag or a length below 128, so all ids are UTF-8 if the
		// whole is; a longer id takes the other way.
		return nil, false
	}
	text := string(inside)
	ids = make([]string, 0, likelyIDs(text))
	for len(text) > 0 {
		if len(text) < 2 || text[0] != bytesTag(1) { // AckRequest.message_ids
			return nil, false
		}
		length := int(text[1])
		text = text[2:]
		if length >= 0x80 || length > len(text) {
			return nil, false
		}
		ids = append(ids, text[:length])
		text = text[length:]
	}
	return ids, true
}

// likelyIDs is how many ids an AckRequest has if they are all as long as the first, but
// no more than what a client usually has: the others may be longer.
func likelyIDs(data string) int {
	if len(data) < 2 {
		return 0
	}
	const usual = 1024
	return min(usual, len(data)/(2+int(data[1])))
}

// Reset, String and ProtoMessage make acksOrOther a message of the first generation.

func (r *acksOrOther) Reset() { *r = acksOrOther{} }

func (r *acksOrOther) String() string { return "a messageproxy.v1.ConsumeRequest" }

func (*acksOrOther) ProtoMessage() {}
