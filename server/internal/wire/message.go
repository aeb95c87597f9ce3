package wire

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// MaxFrameBytes is about where a writer ends a response and begins the next. A
// single message above it still goes out, alone.
const MaxFrameBytes = 256 << 10

// Delivery is a message on its way to a client.
type Delivery struct {
	Message *broker.Message
	// Attempt is 1 on the first delivery, 2 on the next, ...
	Attempt uint32
}

// AppendMessages appends deliveries to dst.Messages in their order and returns
// how many header keys it repaired. It makes at most four allocations whatever
// their number.
//
// Keys, values, and header values and keys are not copied: dst refers to the
// bytes of the broker's messages, which must stay unchanged until dst has been
// marshalled (grpc-go has done so when Send returns).
func AppendMessages(dst *messageproxyv1.PartitionMessages, deliveries []Delivery) (repaired int) {
	headerCount := 0
	for i := range deliveries {
		headerCount += len(deliveries[i].Message.Headers)
	}
	slab := make([]messageproxyv1.Message, len(deliveries))
	headers := newHeaderSlab(headerCount)
	if dst.Messages == nil {
		dst.Messages = make([]*messageproxyv1.Message, 0, len(deliveries))
	}
	for i := range deliveries {
		from, to := deliveries[i].Message, &slab[i]
		to.Id = from.ID
		to.Key, to.Value = from.Key, from.Value
		to.TimestampMs = from.Timestamp.UnixMilli()
		to.DeliveryAttempt = deliveries[i].Attempt
		to.Headers = headers.take(from.Headers)
		dst.Messages = append(dst.Messages, to)
	}
	return headers.repaired
}

// headerSlab holds the wire headers of a batch of messages.
type headerSlab struct {
	headers  []messageproxyv1.Header
	pointers []*messageproxyv1.Header
	repaired int
}

func newHeaderSlab(n int) headerSlab {
	if n == 0 {
		return headerSlab{}
	}
	return headerSlab{
		headers:  make([]messageproxyv1.Header, n),
		pointers: make([]*messageproxyv1.Header, n),
	}
}

// take fills the next headers of the slab with from.
func (s *headerSlab) take(from []broker.Header) []*messageproxyv1.Header {
	n := len(from)
	if n == 0 {
		return nil
	}
	taken := s.pointers[:n:n]
	for i := range from {
		key, repaired := HeaderKey(from[i].Key)
		if repaired {
			s.repaired++
		}
		s.headers[i].Key, s.headers[i].Value = key, from[i].Value
		taken[i] = &s.headers[i]
	}
	s.headers, s.pointers = s.headers[n:], s.pointers[n:]
	return taken
}

// MessageBytes is about how many bytes a message takes in a MessageBatch, and
// never less.
func MessageBytes(m *broker.Message) int {
	const (
		perMessage = 64 // tags, lengths, timestamp and attempt
		perHeader  = 24
	)
	// A repaired key grows by two bytes for each byte that is replaced.
	keys := 0
	for i := range m.Headers {
		keys += 2 * len(m.Headers[i].Key)
	}
	return perMessage + len(m.ID) + m.Size() + keys + perHeader*len(m.Headers)
}

// Outgoing fills dst with a message that a client sent, for the broker. The
// caller has checked it: see MaxTimestampMs. Headers are cut from slab, which
// Outgoing returns without them; it makes one of its own if slab is too short.
//
// Nothing is copied: dst refers to the strings and bytes of src, which must stay
// unchanged until the producer has called back. Protobuf-go's own codec allocates
// them anew for every request, so whoever decodes a request and forgets it has
// given them away; a codec that decodes into pooled memory would break this.
func Outgoing(dst *broker.OutgoingMessage, src *messageproxyv1.OutgoingMessage, slab []broker.Header) []broker.Header {
	dst.Topic = src.GetTopic()
	dst.Key, dst.Value = src.Key, src.Value
	dst.Partition = broker.AnyPartition
	if src.Partition != nil {
		dst.Partition = *src.Partition
	}
	dst.Timestamp = time.Time{}
	if src.TimestampMs != nil {
		dst.Timestamp = time.UnixMilli(*src.TimestampMs)
	}
	n := len(src.GetHeaders())
	if n == 0 {
		dst.Headers = nil
		return slab
	}
	if len(slab) < n {
		slab = make([]broker.Header, n)
	}
	dst.Headers = slab[:n:n]
	for i, h := range src.GetHeaders() {
		dst.Headers[i] = broker.Header{Key: h.GetKey(), Value: h.GetValue()}
	}
	return slab[n:]
}

// MaxTimestampMs is the latest timestamp that a message may have, the end of the
// year 2261: what fits into 64 bits of nanoseconds, which brokers' clients count
// in.
var MaxTimestampMs = time.Date(2262, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1

// OutgoingBytes is the number of bytes of key, value and headers, what the
// server's limit of a message's size counts.
func OutgoingBytes(m *messageproxyv1.OutgoingMessage) int {
	n := len(m.GetKey()) + len(m.GetValue())
	for _, h := range m.GetHeaders() {
		n += len(h.GetKey()) + len(h.GetValue())
	}
	return n
}
