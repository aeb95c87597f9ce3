package messageproxy

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
)

// Consumed messages share allocations: up to chunkMessages of them, which take up to
// chunkBytes on the wire. An application that keeps one message, or part of it, keeps no
// more than that.
const (
	chunkMessages = 16
	chunkBytes    = 4 << 10
)

// keptDeliveries is the most deliveries for which memory is kept between responses.
const keptDeliveries = 1024

// delivery is messages of a partition, in order.
type delivery struct {
	partition TopicPartition
	messages  []Message
}

// deliveries is a ConsumeResponse, for the RecvMsg of a Consume stream. It decodes
// itself (to protobuf-go it is a message that has a method for that, and passes for an
// empty one otherwise): messages by hand, and any other response as protobuf-go does.
type deliveries struct {
	protoreflect.Message
	deliveries []delivery // of a MessageBatch; none is empty
	// other is a response that isn't a MessageBatch, or nil.
	other *messageproxyv1.ConsumeResponse
	topic string // the latest, which is likely to come again
}

func newDeliveries() *deliveries {
	return &deliveries{Message: (*messageproxyv1.ConsumeResponse)(nil).ProtoReflect()}
}

// Reset empties d, so that messages belong to their handlers.
func (d *deliveries) Reset() {
	clear(d.deliveries)
	d.deliveries, d.other = d.deliveries[:0], nil
	if cap(d.deliveries) > keptDeliveries {
		d.deliveries = nil
	}
}

// ProtoReflect makes d a message to every codec that is made of protobuf-go.
func (d *deliveries) ProtoReflect() protoreflect.Message { return d }

// Interface is for protobuf-go, which calls its Reset before it decodes.
func (d *deliveries) Interface() protoreflect.ProtoMessage { return d }

// ProtoMethods is what protobuf-go asks a message for that decodes itself.
func (*deliveries) ProtoMethods() *protoiface.Methods { return &decoderMethods }

// decode fills d, which is empty, and keeps nothing of data.
func (d *deliveries) decode(data []byte) error {
	if d.decodeBatch(data) {
		return nil
	}
	d.Reset()
	response := &messageproxyv1.ConsumeResponse{}
	if err := proto.Unmarshal(data, response); err != nil {
		return err
	}
	if response.GetBatch() == nil {
		d.other = response
	}
	for _, p := range response.GetBatch().GetPartitions() {
		name := TopicPartition{p.GetTopic(), p.GetPartition()}
		for messages := range slices.Chunk(p.GetMessages(), chunkMessages) {
			d.deliveries = append(d.deliveries, delivery{name, messagesFromWire(name, messages)})
		}
	}
	return nil
}

// decodeBatch fills d with the messages of a ConsumeResponse that is a MessageBatch as
// encoders make them. Otherwise it reports false.
func (d *deliveries) decodeBatch(data []byte) bool {
	batch, n := consumeBytes(data, 2) // ConsumeResponse.batch
	if n < 0 || n != len(data) {
		return false
	}
	for len(batch) > 0 {
		partition, n := consumeBytes(batch, 1) // MessageBatch.partitions
		if n < 0 || !d.decodePartition(partition) {
			return false
		}
		batch = batch[n:]
	}
	return true
}

// decodePartition decodes a PartitionMessages.
func (d *deliveries) decodePartition(data []byte) bool {
	topic, n := consumeBytes(data, 1) // PartitionMessages.topic
	if n > 0 {
		data = data[n:]
	}
	if d.topic != string(topic) {
		d.topic = string(topic)
	}
	partition, data, ok := takeVarint(data, 2) // PartitionMessages.partition
	if !ok || !utf8.Valid(topic) {
		return false
	}
	name := TopicPartition{d.topic, int32(partition)}
	for len(data) > 0 {
		var chunk messageChunk
		if data, ok = chunk.take(data); !ok {
			return false
		}
		d.deliveries = append(d.deliveries, delivery{name, chunk.messages(name)})
	}
	return true
}

// messageChunk is messages that share allocations, as they are on the wire: it refers
// to a frame.
type messageChunk struct {
	encoded [chunkMessages]encodedMessage
	n       int
	// What the messages have: header entries, bytes of keys and values, and bytes of
	// text.
	headers, payload, text int
}

// encodedMessage is the fields of a Message. What is absent is nil.
type encodedMessage struct {
	id, key, value []byte
	headers        []byte // with their tags
	headerCount    int
	timestamp      uint64
	attempt        uint64
}

// take decodes messages from the front of data, which are PartitionMessages.messages.
func (c *messageChunk) take(data []byte) (rest []byte, ok bool) {
	for bytes := 0; len(data) > 0 && c.n < chunkMessages; c.n++ {
		message, n := consumeBytes(data, 3) // PartitionMessages.messages
		if bytes += len(message); c.n > 0 && bytes > chunkBytes {
			break
		}
		if n < 0 || !c.decode(&c.encoded[c.n], message) {
			return nil, false
		}
		data = data[n:]
	}
	return data, true
}

// decode decodes a Message into m, which is empty.
func (c *messageChunk) decode(m *encodedMessage, data []byte) (ok bool) {
	var n int
	if m.id, n = consumeBytes(data, 1); n > 0 { // Message.id
		data = data[n:]
	}
	if m.key, n = consumeBytes(data, 2); n > 0 { // Message.key
		data = data[n:]
	}
	if m.value, n = consumeBytes(data, 3); n > 0 { // Message.value
		data = data[n:]
	}
	c.text += len(m.id)
	c.payload += len(m.key) + len(m.value)
	if data, ok = c.decodeHeaders(m, data); !ok {
		return false
	}
	if m.timestamp, data, ok = takeVarint(data, 5); !ok { // Message.timestamp_ms
		return false
	}
	if m.attempt, data, ok = takeVarint(data, 6); !ok { // Message.delivery_attempt
		return false
	}
	return len(data) == 0 && utf8.Valid(m.id)
}

// decodeHeaders looks through the headers at the front of data.
func (c *messageChunk) decodeHeaders(m *encodedMessage, data []byte) (rest []byte, ok bool) {
	rest = data
	for len(rest) > 0 && rest[0] == bytesTag(4) { // Message.headers
		key, value, n := consumeHeader(rest)
		if n < 0 {
			return nil, false
		}
		c.text += len(key)
		c.payload += len(value)
		c.headers++
		m.headerCount++
		rest = rest[n:]
	}
	m.headers = data[:len(data)-len(rest)]
	return rest, true
}

// consumeHeader returns what is in the Message.headers that data begins with, and its
// length; a length below 0 if it isn't one as encoders make them.
func consumeHeader(data []byte) (key, value []byte, n int) {
	header, length := consumeBytes(data, 4)
	if key, n = consumeBytes(header, 1); n > 0 { // Header.key
		header = header[n:]
	}
	if value, n = consumeBytes(header, 2); n > 0 { // Header.value
		header = header[n:]
	}
	if len(header) > 0 || !utf8.Valid(key) {
		return nil, nil, -1
	}
	return key, value, length
}

// messages returns copies of the messages, in four allocations at most.
func (c *messageChunk) messages(from TopicPartition) []Message {
	messages := make([]Message, c.n)
	headers := make([]Header, 0, c.headers)
	payload := make(slab, 0, c.payload)
	var text strings.Builder
	text.Grow(c.text)
	for i := range messages {
		in, m := &c.encoded[i], &messages[i]
		m.Topic, m.Partition = from.Topic, from.Partition
		m.ID = appendText(&text, in.id)
		m.Key, m.Value = payload.copy(in.key), payload.copy(in.value)
		m.Timestamp = time.UnixMilli(int64(in.timestamp))
		m.DeliveryAttempt = int(uint32(in.attempt))
		if in.headerCount == 0 {
			continue
		}
		first := len(headers)
		for rest := in.headers; len(rest) > 0; {
			key, value, n := consumeHeader(rest)
			headers = append(headers, Header{Key: appendText(&text, key), Value: payload.copy(value)})
			rest = rest[n:]
		}
		m.Headers = headers[first:len(headers):len(headers)]
	}
	return messages
}

// appendText returns b as a piece of text.
func appendText(text *strings.Builder, b []byte) string {
	text.Write(b)
	return text.String()[text.Len()-len(b):]
}

// slab is an allocation that is cut into pieces.
type slab []byte

// copy copies b into the slab, which must have room. Absent stays absent, and empty
// empty.
func (s *slab) copy(b []byte) []byte {
	if b == nil {
		return nil
	}
	from := len(*s)
	*s = append(*s, b...)
	return (*s)[from:len(*s):len(*s)]
}

// messagesFromWire returns messages of one partition in one allocation, and their
// headers in another.
func messagesFromWire(from TopicPartition, in []*messageproxyv1.Message) []Message {
	total := 0
	for _, m := range in {
		total += len(m.GetHeaders())
	}
	headers := make([]Header, 0, total)
	messages := make([]Message, len(in))
	for i, m := range in {
		start := len(headers)
		for _, h := range m.GetHeaders() {
			headers = append(headers, Header{Key: h.GetKey(), Value: h.GetValue()})
		}
		messages[i] = Message{
			Topic:           from.Topic,
			Partition:       from.Partition,
			Key:             m.GetKey(),
			Value:           m.GetValue(),
			Timestamp:       time.UnixMilli(m.GetTimestampMs()),
			ID:              m.GetId(),
			DeliveryAttempt: int(m.GetDeliveryAttempt()),
		}
		if len(headers) > start {
			messages[i].Headers = headers[start:len(headers):len(headers)]
		}
	}
	return messages
}
