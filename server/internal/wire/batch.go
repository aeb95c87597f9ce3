package wire

import (
	"google.golang.org/protobuf/reflect/protoreflect"

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

// Batch is a ConsumeResponse with messages, for the SendMsg of a Consume stream. The
// zero value is empty.
//
// It refers to the broker's messages, which must stay unchanged until it has been
// sent (grpc-go has encoded it when SendMsg returns).
type Batch struct {
	parts []part
	bytes int // of the MessageBatch
}

// part is a PartitionMessages.
type part struct {
	partition  broker.TopicPartition
	deliveries []Delivery
	bytes      int
	repair     bool // some header keys are not UTF-8
}

// Add adds messages of a partition in their order until the batch IsFull, at least
// one. It returns how many, and how many of their header keys it repairs.
func (f *Batch) Add(partition broker.TopicPartition, deliveries []Delivery) (added, repaired int) {
	p := part{partition: partition, bytes: sizeString(partition.Topic) + sizeVarint(uint64(int64(partition.Partition)))}
	for added < len(deliveries) && (added == 0 || f.bytes+p.bytes < MaxFrameBytes) {
		broken := brokenKeys(deliveries[added].Message)
		p.bytes += sizeInside(messageSize(&deliveries[added], broken > 0))
		p.repair = p.repair || broken > 0
		repaired += broken
		added++
	}
	p.deliveries = deliveries[:added]
	f.parts = append(f.parts, p)
	f.bytes += sizeInside(p.bytes)
	return added, repaired
}

func brokenKeys(m *broker.Message) (n int) {
	for i := range m.Headers {
		if _, broken := HeaderKey(m.Headers[i].Key); broken {
			n++
		}
	}
	return n
}

// IsEmpty reports whether nothing was added.
func (f *Batch) IsEmpty() bool { return len(f.parts) == 0 }

// IsFull reports whether it is time to send.
func (f *Batch) IsFull() bool { return f.bytes >= MaxFrameBytes }

// Bytes is about how many bytes it takes on the wire.
func (f *Batch) Bytes() int { return f.bytes }

// Reset empties the batch, and lets go of the messages.
func (f *Batch) Reset() {
	clear(f.parts)
	f.parts, f.bytes = f.parts[:0], 0
}

var consumeResponse = (*messageproxyv1.ConsumeResponse)(nil).ProtoReflect()

// ProtoReflect makes it a message to grpc-go's codec.
func (f *Batch) ProtoReflect() protoreflect.Message { return reflection{consumeResponse, f} }

func (f *Batch) size() int { return sizeInside(f.bytes) }

func (f *Batch) appendTo(b []byte) []byte {
	b = appendInside(b, 2, f.bytes) // ConsumeResponse.batch
	for i := range f.parts {
		b = f.parts[i].appendTo(b)
	}
	return b
}

func (p *part) appendTo(b []byte) []byte {
	b = appendInside(b, 1, p.bytes) // MessageBatch.partitions
	b = appendString(b, 1, p.partition.Topic)
	b = appendVarint(b, 2, uint64(int64(p.partition.Partition)))
	for i := range p.deliveries {
		d := &p.deliveries[i]
		b = appendInside(b, 3, messageSize(d, p.repair)) // PartitionMessages.messages
		b = appendMessage(b, d, p.repair)
	}
	return b
}

func messageSize(d *Delivery, repair bool) int {
	m := d.Message
	n := sizeString(m.ID) + sizeOptional(m.Key) + sizeOptional(m.Value) +
		sizeVarint(uint64(m.Timestamp.UnixMilli())) + sizeVarint(uint64(d.Attempt))
	for i := range m.Headers {
		n += sizeInside(headerSize(headerKey(&m.Headers[i], repair), m.Headers[i].Value))
	}
	return n
}

func appendMessage(b []byte, d *Delivery, repair bool) []byte {
	m := d.Message
	b = appendString(b, 1, m.ID)
	b = appendOptional(b, 2, m.Key)
	b = appendOptional(b, 3, m.Value)
	for i := range m.Headers {
		key, value := headerKey(&m.Headers[i], repair), m.Headers[i].Value
		b = appendInside(b, 4, headerSize(key, value))
		b = appendString(b, 1, key)
		b = appendOptional(b, 2, value)
	}
	b = appendVarint(b, 5, uint64(m.Timestamp.UnixMilli()))
	return appendVarint(b, 6, uint64(d.Attempt))
}

func headerSize(key string, value []byte) int { return sizeString(key) + sizeOptional(value) }

func headerKey(h *broker.Header, repair bool) string {
	if !repair {
		return h.Key
	}
	return Text(h.Key)
}
