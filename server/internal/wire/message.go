package wire

import (
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

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
