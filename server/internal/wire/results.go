package wire

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// Result is what became of a message to produce.
type Result struct {
	Sequence uint64
	// Err says why the message isn't stored, or that this isn't known. If it is nil the
	// rest is its receipt.
	Err         *messageproxyv1.Error
	MessageID   string
	Partition   int32
	TimestampMs int64
}

// Results is a ProduceResponse with results, for the SendMsg of a Produce stream. The
// zero value is empty. It refers to the results, which must stay unchanged until it has
// been sent (grpc-go has encoded it when SendMsg returns).
type Results struct {
	results []*Result
	bytes   int
}

// Fill takes, in place of what was in it, as many results as go into a frame, at least
// one if there are any. It returns how many.
func (f *Results) Fill(results []*Result) int {
	f.results, f.bytes = nil, 0
	for i, r := range results {
		bytes := sizeInside(r.size())
		if i > 0 && f.bytes+bytes > MaxFrameBytes {
			break
		}
		f.bytes += bytes
		f.results = results[:i+1]
	}
	return len(f.results)
}

var produceResponse = (*messageproxyv1.ProduceResponse)(nil).ProtoReflect()

// ProtoReflect makes it a message to grpc-go's codec.
func (f *Results) ProtoReflect() protoreflect.Message { return reflection{produceResponse, f} }

func (f *Results) size() int { return f.bytes }

func (f *Results) appendTo(b []byte) []byte {
	for _, r := range f.results {
		b = appendInside(b, 1, r.size()) // ProduceResponse.results
		b = r.appendTo(b)
	}
	return b
}

func (r *Result) size() int {
	if r.Err != nil {
		return sizeVarint(r.Sequence) + sizeInside(errorSize(r.Err))
	}
	return sizeVarint(r.Sequence) + sizeInside(r.receiptSize())
}

func (r *Result) appendTo(b []byte) []byte {
	b = appendVarint(b, 1, r.Sequence)
	if r.Err != nil {
		b = appendInside(b, 3, errorSize(r.Err))
		return appendError(b, r.Err)
	}
	b = appendInside(b, 2, r.receiptSize())
	b = appendString(b, 1, r.MessageID)
	b = appendVarint(b, 2, uint64(int64(r.Partition)))
	return appendVarint(b, 3, uint64(r.TimestampMs))
}

func (r *Result) receiptSize() int {
	return sizeString(r.MessageID) + sizeVarint(uint64(int64(r.Partition))) + sizeVarint(uint64(r.TimestampMs))
}

func errorSize(e *messageproxyv1.Error) int {
	n := sizeVarint(uint64(int64(e.GetCode()))) + sizeString(e.GetMessage())
	if e.GetRetryable() {
		n += sizeVarint(1)
	}
	for _, id := range e.GetMessageIds() {
		n += sizeInside(len(id))
	}
	return n
}

func appendError(b []byte, e *messageproxyv1.Error) []byte {
	b = appendVarint(b, 1, uint64(int64(e.GetCode())))
	b = appendString(b, 2, e.GetMessage())
	if e.GetRetryable() {
		b = appendVarint(b, 3, 1)
	}
	for _, id := range e.GetMessageIds() {
		b = append(appendInside(b, 4, len(id)), id...)
	}
	return b
}
