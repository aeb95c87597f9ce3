package wire

import (
	"errors"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/messageproxy/messageproxy/broker"
)

// Outgoing is a message that a client sent to be stored, as it came.
type Outgoing struct {
	Sequence uint64
	Topic    string
	// Key and Value are nil if absent.
	Key, Value []byte
	Headers    []broker.Header
	// Partition and TimestampMs are 0 if absent.
	Partition                  int32
	TimestampMs                int64
	HasPartition, HasTimestamp bool
}

// MaxTimestampMs is the latest timestamp that a message may have, the end of the
// year 2261: what fits into 64 bits of nanoseconds, which brokers' clients count
// in.
var MaxTimestampMs = time.Date(2262, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1

// Size is the number of bytes of key, value and headers, what the server's limit of a
// message's size counts.
func (m *Outgoing) Size() int {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return n
}

// ForBroker is the message for the broker. The caller has checked it: see
// MaxTimestampMs. Nothing is copied.
func (m *Outgoing) ForBroker() broker.OutgoingMessage {
	out := broker.OutgoingMessage{
		Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers, Partition: broker.AnyPartition,
	}
	if m.HasPartition {
		out.Partition = m.Partition
	}
	if m.HasTimestamp {
		out.Timestamp = time.UnixMilli(m.TimestampMs)
	}
	return out
}

// The messages of a request are given to the broker one by one, and it may keep one for
// long: so that one keeps little else, up to sharedMessages of them share allocations
// of up to sharedBytes, and those larger than a quarter of that share nothing.
const (
	sharedMessages = 32
	sharedBytes    = 4 << 10
)

var (
	errTopicNotUTF8     = errors.New("a topic contains invalid UTF-8")
	errHeaderKeyNotUTF8 = errors.New("the key of a header contains invalid UTF-8")
)

// decodeMessages decodes a ProduceRequest. It copies what it needs of data.
func decodeMessages(data []byte) ([]Outgoing, error) {
	p := parser{messages: newMessages(data)}
	if err := p.parse(data); err != nil {
		return nil, err
	}
	for rest := p.messages; len(rest) > 0; {
		n := sharing(rest)
		own(rest[:n])
		rest = rest[n:]
	}
	return p.messages, nil
}

// spareMessages has slices of empty messages of requests that are done with, for the next
// ones: *[]Outgoing. What messages refer to is not used again.
var spareMessages sync.Pool

// maxSpare is the length of the longest slice that is worth keeping.
const maxSpare = 1024

// newMessages has room for the messages of a ProduceRequest: nearly always, if it is of
// the usual size, and else for all.
func newMessages(data []byte) []Outgoing {
	if len(data) <= MaxFrameBytes {
		if spare, ok := spareMessages.Get().(*[]Outgoing); ok {
			return *spare
		}
	}
	return make([]Outgoing, 0, countMessages(data))
}

// countMessages counts them up to where a request can't be parsed.
func countMessages(data []byte) (count int) {
	for len(data) > 0 {
		f, err := nextField(data)
		if err != nil {
			break
		}
		if f.number == 1 && f.kind == protowire.BytesType { // ProduceRequest.messages
			count++
		}
		data = data[f.length:]
	}
	return count
}

// recycle takes messages back that nobody uses any more.
func recycle(messages []Outgoing) {
	if cap(messages) == 0 || cap(messages) > maxSpare {
		return
	}
	clear(messages)
	messages = messages[:0]
	spareMessages.Put(&messages)
}

// wireField is a field of an encoded message, with its value if that is of one of two
// kinds. Others are passed over: they are of later versions of the contract.
type wireField struct {
	number protowire.Number
	kind   protowire.Type
	length int    // with its tag
	bytes  []byte // not nil, if it is of the BytesType
	varint uint64 // if it is of the VarintType
}

// nextField returns the first field of data, which is not empty.
func nextField(data []byte) (f wireField, err error) {
	tag := tagBytes
	if first := data[0]; first>>3 > 0 && first < 0x80 { // nearly always
		f.number, f.kind = protowire.Number(first>>3), protowire.Type(first&7)
	} else if f.number, f.kind, tag = protowire.ConsumeTag(data); tag < 0 || f.number > protowire.MaxValidNumber {
		return f, errCannotParse
	}
	var value int
	switch f.kind {
	case protowire.BytesType:
		f.bytes, value = protowire.ConsumeBytes(data[tag:])
	case protowire.VarintType:
		f.varint, value = protowire.ConsumeVarint(data[tag:])
	default:
		value = protowire.ConsumeFieldValue(f.number, f.kind, data[tag:])
	}
	if value < 0 {
		return f, errCannotParse
	}
	f.length = tag + value
	return f, nil
}

// parser makes messages that refer to what is parsed. A topic that is that of the message
// before is the same string, and so are header keys.
type parser struct {
	messages []Outgoing
	topic    string          // of the message before
	headers  []broker.Header // of all messages, in order
	// Those of the message before are headers[previous:current], those of the one that is
	// being parsed follow.
	previous, current int
}

func (p *parser) parse(data []byte) error {
	var ends []int // of each message's headers, once there are any
	for len(data) > 0 {
		f, err := nextField(data)
		if err != nil {
			return err
		}
		data = data[f.length:]
		if f.number != 1 || f.kind != protowire.BytesType {
			continue
		}
		p.messages = append(p.messages, Outgoing{})
		if err := p.parseMessage(&p.messages[len(p.messages)-1], f.bytes); err != nil {
			return err
		}
		if len(p.headers) > 0 && ends == nil {
			ends = make([]int, len(p.messages)-1, cap(p.messages))
		}
		if ends != nil {
			ends = append(ends, len(p.headers))
		}
	}
	start := 0
	for i, end := range ends {
		if end > start {
			p.messages[i].Headers = p.headers[start:end:end]
		}
		start = end
	}
	return nil
}

func (p *parser) parseMessage(m *Outgoing, data []byte) error {
	p.previous, p.current = p.current, len(p.headers)
	for len(data) > 0 {
		f, err := nextField(data)
		if err != nil {
			return err
		}
		data = data[f.length:]
		switch f.kind {
		case protowire.BytesType:
			err = p.parseBytes(m, f.number, f.bytes)
		case protowire.VarintType:
			m.parseVarint(f.number, f.varint)
		}
		if err != nil {
			return err
		}
	}
	p.topic = m.Topic
	return nil
}

// The numbers are those of OutgoingMessage's fields. If one comes twice, the last counts.

func (m *Outgoing) parseVarint(number protowire.Number, v uint64) {
	switch number {
	case 1:
		m.Sequence = v
	case 6:
		m.Partition, m.HasPartition = int32(v), true
	case 7:
		m.TimestampMs, m.HasTimestamp = int64(v), true
	}
}

func (p *parser) parseBytes(m *Outgoing, number protowire.Number, v []byte) (err error) {
	switch number {
	case 2:
		m.Topic, err = text(v, p.topic, errTopicNotUTF8)
	case 3:
		m.Key = v
	case 4:
		m.Value = v
	case 5:
		err = p.parseHeader(v)
	}
	return err
}

func (p *parser) parseHeader(data []byte) error {
	usualKey := ""
	if at := p.previous + len(p.headers) - p.current; at < p.current {
		usualKey = p.headers[at].Key
	}
	var h broker.Header
	for len(data) > 0 {
		f, err := nextField(data)
		if err != nil {
			return err
		}
		data = data[f.length:]
		switch {
		case f.kind == protowire.BytesType && f.number == 1:
			if h.Key, err = text(f.bytes, usualKey, errHeaderKeyNotUTF8); err != nil {
				return err
			}
		case f.kind == protowire.BytesType && f.number == 2:
			h.Value = f.bytes
		}
	}
	p.headers = append(p.headers, h)
	return nil
}

// text makes a string of v, or uses one that is likely to be equal.
func text(v []byte, likely string, notUTF8 error) (string, error) {
	if string(v) == likely {
		return likely, nil
	}
	if !utf8.Valid(v) {
		return "", notUTF8
	}
	return string(v), nil
}

// sharing is how many of the messages may share allocations, at least one.
func sharing(messages []Outgoing) int {
	total := 0
	for i := range messages[:min(sharedMessages, len(messages))] {
		bytes := messages[i].Size()
		if total += bytes; i > 0 && (bytes > sharedBytes/4 || total > sharedBytes) {
			return i
		}
		if bytes > sharedBytes/4 {
			return 1
		}
	}
	return min(sharedMessages, len(messages))
}

// own makes copies of what messages refer to.
func own(messages []Outgoing) {
	bytes, headers := 0, 0
	for i := range messages {
		m := &messages[i]
		bytes += len(m.Key) + len(m.Value)
		for j := range m.Headers {
			bytes += len(m.Headers[j].Value)
		}
		headers += len(m.Headers)
	}
	slab := slab{make([]byte, 0, bytes)}
	headerSlab := make([]broker.Header, 0, headers)
	for i := range messages {
		m := &messages[i]
		m.Key, m.Value = slab.keep(m.Key), slab.keep(m.Value)
		if len(m.Headers) == 0 {
			continue
		}
		start := len(headerSlab)
		for _, h := range m.Headers {
			headerSlab = append(headerSlab, broker.Header{Key: h.Key, Value: slab.keep(h.Value)})
		}
		m.Headers = headerSlab[start:len(headerSlab):len(headerSlab)]
	}
}

type slab struct{ bytes []byte }

// keep returns a copy of v, or nil if that is nil.
func (s *slab) keep(v []byte) []byte {
	if v == nil {
		return nil
	}
	start := len(s.bytes)
	s.bytes = append(s.bytes, v...)
	return s.bytes[start:len(s.bytes):len(s.bytes)]
}
