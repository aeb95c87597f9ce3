package messageproxy

import (
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

const (
	// idsInOne is how many message IDs share a string. Who keeps one keeps them all.
	idsInOne = 16
	// keptResults is the most results for which memory is kept between responses.
	keptResults = 4096
)

// produceResult is the outcome of the message with a sequence.
type produceResult struct {
	sequence uint64
	receipt  Receipt
	err      error
}

// produceResults is a ProduceResponse, for the RecvMsg of a Produce stream. It decodes
// itself (to protobuf-go it is a message that has a method for that, and passes for an
// empty one otherwise): receipts by hand, and a response with anything else as
// protobuf-go does. Whatever is in it is valid until it is received into again, but for
// what the results refer to.
type produceResults struct {
	protoreflect.Message
	results []produceResult
	// terminal is the error with which the server ends the stream, or nil.
	terminal *Error
	ids      []byte // of the latest receipts, which get their IDs together
}

func newProduceResults() *produceResults {
	return &produceResults{Message: (*messageproxyv1.ProduceResponse)(nil).ProtoReflect()}
}

// Reset empties r, so that receipts and errors belong to those who were told.
func (r *produceResults) Reset() {
	clear(r.results)
	r.results, r.terminal = r.results[:0], nil
	if cap(r.results) > keptResults {
		r.results = nil
	}
}

// ProtoReflect makes r a message to every codec that is made of protobuf-go.
func (r *produceResults) ProtoReflect() protoreflect.Message { return r }

// Interface is for protobuf-go, which calls its Reset before it decodes.
func (r *produceResults) Interface() protoreflect.ProtoMessage { return r }

// ProtoMethods is what protobuf-go asks a message for that decodes itself.
func (*produceResults) ProtoMethods() *protoiface.Methods { return &decoderMethods }

// decode fills r, which is empty, and keeps nothing of data.
func (r *produceResults) decode(data []byte) error {
	if r.decodeReceipts(data) {
		return nil
	}
	r.Reset()
	response := &messageproxyv1.ProduceResponse{}
	if err := proto.Unmarshal(data, response); err != nil {
		return err
	}
	for _, result := range response.GetResults() {
		r.results = append(r.results, resultFromWire(result))
	}
	if e := response.GetTerminalError(); e != nil {
		r.terminal = errorFromWire(e)
	}
	return nil
}

func resultFromWire(result *messageproxyv1.ProduceResult) produceResult {
	r := produceResult{sequence: result.GetSequence()}
	switch o := result.GetOutcome().(type) {
	case *messageproxyv1.ProduceResult_Receipt:
		r.receipt = Receipt{
			MessageID: o.Receipt.GetMessageId(),
			Partition: o.Receipt.GetPartition(),
			Timestamp: time.UnixMilli(o.Receipt.GetTimestampMs()),
		}
	case *messageproxyv1.ProduceResult_Error:
		r.err = errorFromWire(o.Error)
	default:
		r.err = unknownOutcome("the server's answer is of a kind that this version doesn't know", nil)
	}
	return r
}

// decodeReceipts fills r with the results of a ProduceResponse that has only such as
// have a receipt, all as encoders make them. Otherwise it reports false.
func (r *produceResults) decodeReceipts(data []byte) bool {
	defer func() { r.ids = r.ids[:0] }()
	var ends [idsInOne]int // of ids
	for len(data) > 0 {
		result, n := consumeBytes(data, 1) // ProduceResponse.results
		if n < 0 {
			return false
		}
		data = data[n:]
		decoded, id, ok := decodeReceipt(result)
		if !ok {
			return false
		}
		r.results = append(r.results, decoded)
		r.ids = append(r.ids, id...)
		at := (len(r.results) - 1) % idsInOne
		ends[at] = len(r.ids)
		if at == idsInOne-1 || len(data) == 0 {
			r.giveIDs(ends[:at+1])
		}
	}
	return true
}

// giveIDs gives the latest results their IDs, which end in ids at ends.
func (r *produceResults) giveIDs(ends []int) {
	ids, start := string(r.ids), 0
	latest := r.results[len(r.results)-len(ends):]
	for i, end := range ends {
		latest[i].receipt.MessageID = ids[start:end]
		start = end
	}
	r.ids = r.ids[:0]
}

// decodeReceipt decodes a ProduceResult with a receipt, but for its ID.
func decodeReceipt(data []byte) (result produceResult, id []byte, ok bool) {
	var partition, timestamp uint64
	if result.sequence, data, ok = takeVarint(data, 1); !ok { // ProduceResult.sequence
		return result, nil, false
	}
	receipt, n := consumeBytes(data, 2) // ProduceResult.receipt
	if n < 0 || n != len(data) {
		return result, nil, false
	}
	if id, n = consumeBytes(receipt, 1); n > 0 { // MessageReceipt.message_id
		receipt = receipt[n:]
	}
	if partition, receipt, ok = takeVarint(receipt, 2); !ok { // MessageReceipt.partition
		return result, nil, false
	}
	if timestamp, receipt, ok = takeVarint(receipt, 3); !ok { // MessageReceipt.timestamp_ms
		return result, nil, false
	}
	result.receipt.Partition, result.receipt.Timestamp = int32(partition), time.UnixMilli(int64(timestamp))
	return result, id, len(receipt) == 0 && utf8.Valid(id)
}

// consumeBytes returns what is in the field that data begins with, and the field's
// length; a length below 0 if it is another field, or cut off.
func consumeBytes(data []byte, number protowire.Number) (inside []byte, n int) {
	if len(data) == 0 || data[0] != bytesTag(number) {
		return nil, -1
	}
	if inside, n = protowire.ConsumeBytes(data[tagBytes:]); n < 0 {
		return nil, n
	}
	return inside, tagBytes + n
}

// takeVarint takes a number that may be absent, which is 0, from the front of data. It
// reports false if the number is cut off.
func takeVarint(data []byte, number protowire.Number) (v uint64, rest []byte, ok bool) {
	if len(data) == 0 || data[0] != varintTag(number) {
		return 0, data, true
	}
	v, n := protowire.ConsumeVarint(data[tagBytes:])
	if n < 0 {
		return 0, nil, false
	}
	return v, data[tagBytes+n:], true
}
