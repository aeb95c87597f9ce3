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
	if n != len(data)-1 {
		return nil, false
	}
	count, ok := countIDs(inside)
	if !ok {
		return nil, false
	}
	text := string(inside)
	ids = make([]string, 0, count)
	for at := 0; at < len(inside); {
		id, n := protowire.ConsumeBytes(inside[at+tagBytes:])
		at += tagBytes + n
		ids = append(ids, text[at-len(id):at])
	}
	return ids, true
}

// countIDs counts the ids of an AckRequest that has nothing else.
func countIDs(data []byte) (count int, ok bool) {
	for len(data) > 0 {
		if data[0] != bytesTag(1) { // AckRequest.message_ids
			return 0, false
		}
		id, n := protowire.ConsumeBytes(data[tagBytes:])
		if n < 0 || !utf8.Valid(id) {
			return 0, false
		}
		data = data[tagBytes+n:]
		count++
	}
	return count, true
}

// Reset, String and ProtoMessage make acksOrOther a message of the first generation.

func (r *acksOrOther) Reset() { *r = acksOrOther{} }

func (r *acksOrOther) String() string { return "a messageproxy.v1.ConsumeRequest" }

func (*acksOrOther) ProtoMessage() {}
