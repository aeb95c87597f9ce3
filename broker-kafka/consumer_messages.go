package kafka

import (
	"strings"

	"github.com/messageproxy/messageproxy/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Messages share allocations: up to chunkMessages of them, whose keys, values and
// headers up to chunkBytes. An allocation lives until the last message in it is
// done with, so this is what a single unACKed message can hold on to. (A record of
// the client's holds on to all that was fetched with it, up to fetchBytes and more
// if it was compressed. Hence the copies.)
const (
	chunkMessages = 16
	chunkBytes    = 4 << 10
)

// makeSteps turns records of a partition into entries of the queue, which refer to
// nothing of the records. Control records are left out, but for their offsets.
func makeSteps(p *partition, records []*kgo.Record) (steps []entry, count int) {
	for len(records) > 0 {
		n := chunkLength(records)
		chunk := records[:n]
		step := entry{partition: p, next: chunk[n-1].Offset + 1}
		if messages := makeMessages(p.ids, chunk); len(messages) > 0 {
			step.event = broker.EventMessages{Partition: p.id, Messages: messages}
			count += len(messages)
		}
		steps = append(steps, step)
		records = records[n:]
	}
	return steps, count
}

// chunkLength is how many of the records share allocations: at least one.
func chunkLength(records []*kgo.Record) int {
	n, bytes := 0, 0
	for n < min(len(records), chunkMessages) {
		bytes += payloadBytes(records[n])
		if n > 0 && bytes > chunkBytes {
			break
		}
		n++
	}
	return n
}

func payloadBytes(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	return n
}

// makeMessages turns a chunk of records into messages, in four allocations at most.
func makeMessages(prefix idPrefix, records []*kgo.Record) []broker.Message {
	var count, headerCount, bytes int
	for _, r := range records {
		if !r.Attrs.IsControl() {
			count++
			headerCount += len(r.Headers)
			bytes += payloadBytes(r)
		}
	}
	if count == 0 {
		return nil
	}
	var ids strings.Builder
	ids.Grow(count * messageIDChars)
	messages := make([]broker.Message, 0, count)
	headers := make([]broker.Header, 0, headerCount)
	payload := make(slab, 0, bytes)
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		var id [messageIDChars]byte
		ids.Write(prefix.appendID(id[:0], r.Offset))
		first := len(headers)
		for _, h := range r.Headers {
			headers = append(headers, broker.Header{Key: h.Key, Value: payload.copy(h.Value)})
		}
		messages = append(messages, broker.Message{
			ID:        ids.String()[ids.Len()-messageIDChars:],
			Position:  uint64(r.Offset),
			Key:       payload.copy(r.Key),
			Value:     payload.copy(r.Value),
			Headers:   headers[first:len(headers):len(headers)],
			Timestamp: r.Timestamp,
		})
	}
	return messages
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
	to := len(*s)
	return (*s)[from:to:to]
}
