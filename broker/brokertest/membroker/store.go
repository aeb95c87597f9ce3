package membroker

import (
	"fmt"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// store stores what it can of pending, in order. The first answered of them have
// their receipt or error and are done with; the others are to be given again, at
// retryAt (if it isn't zero) or when the producer is woken.
func (b *Broker) store(opts broker.ProducerOptions, pending []outgoing) (answered int, retryAt time.Time) {
	if len(pending) == 0 {
		return 0, time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := newBatch(b, pending)
	holding := false
	for i := range pending {
		o := &pending[i]
		ready := b.storeOneLocked(opts, o, batch)
		if holding || !ready {
			holding = true
			continue
		}
		answered = i + 1
	}
	batch.finish()
	if answered < len(pending) && b.faults.unreachable && !pending[answered].sent {
		retryAt = pending[answered].accepted.Add(opts.Timeout)
	}
	return answered, retryAt
}

// storeOneLocked tries one message and reports whether it can be answered now.
func (b *Broker) storeOneLocked(opts broker.ProducerOptions, o *outgoing, batch *batch) bool {
	lost := b.faults.lostAnswers
	switch {
	case o.err != nil, o.stored:
		return o.err != nil || lost == answersArrive
	case b.faults.unreachable || o.sent && lost != answersArrive:
		if o.sent || time.Since(o.accepted) < opts.Timeout {
			return false
		}
		o.err = timedOut(o.message.Topic, opts.Timeout)
		return true
	case o.sent && time.Since(o.accepted) >= opts.Timeout:
		o.err = timedOut(o.message.Topic, opts.Timeout)
		return true
	case lost == lostWithMessage || lost == unknownWithoutMessage:
		o.sent = true
		if lost == unknownWithoutMessage {
			o.err = unknownOutcome(o.message.Topic)
		}
		return lost == unknownWithoutMessage
	}
	if b.faults.produce != nil {
		o.err = b.faults.produce(o.message)
	}
	if o.err == nil {
		o.err = b.appendLocked(opts.MaxMessageBytes, o, batch)
	}
	if o.err != nil {
		return true
	}
	switch lost {
	case lostAfterStoring:
		o.sent = true
		return false
	case unknownAfterStoring:
		o.err = unknownOutcome(o.message.Topic)
	}
	return true
}

// appendLocked writes a message to its log, or returns why it can't be stored.
func (b *Broker) appendLocked(limit int, o *outgoing, batch *batch) error {
	m := o.message
	limit = min(limit, b.opts.MaxMessageBytes)
	if m.Partition != broker.AnyPartition && b.opts.Without.ExplicitPartition {
		return unsupported("a message can't name its partition")
	}
	if size := m.Size(); size > limit {
		return &broker.Error{
			Code: broker.CodeMessageTooLarge, Topic: m.Topic, Partition: broker.AnyPartition,
			Message: fmt.Sprintf("the message has %d bytes of key, value and headers, the limit is %d", size, limit),
		}
	}
	t, err := b.topicLocked(m.Topic)
	if err != nil {
		return err
	}
	p, err := t.choose(m)
	if err != nil {
		return err
	}
	batch.add(p, o)
	return nil
}

// batch gathers the messages stored under one lock, so that their bytes, headers
// and IDs take one allocation each instead of one a message.
type batch struct {
	copier  copier
	ids     []byte
	entries []batchEntry
}

type batchEntry struct {
	partition *partition
	index     int // in partition.messages
	idEnd     int // in ids; it begins where the one before ends
	outgoing  *outgoing
}

func newBatch(b *Broker, pending []outgoing) *batch {
	n, headers := 0, 0
	for i := range pending {
		if o := &pending[i]; !o.stored && o.err == nil && !b.faults.unreachable {
			n += len(o.message.Key) + len(o.message.Value)
			for _, h := range o.message.Headers {
				n += len(h.Value)
			}
			headers += len(o.message.Headers)
		}
	}
	return &batch{copier: newCopier(n, headers)}
}

// add appends a message to its partition. Its ID comes with finish.
func (s *batch) add(p *partition, o *outgoing) {
	m := o.message
	timestamp := m.Timestamp
	if timestamp.IsZero() {
		timestamp = o.accepted
	}
	timestamp = time.UnixMilli(timestamp.UnixMilli())
	s.ids = p.appendID(s.ids, p.end)
	s.entries = append(s.entries, batchEntry{p, len(p.messages), len(s.ids), o})
	p.messages = append(p.messages, broker.Message{
		Position:  p.end,
		Key:       s.copier.bytes(m.Key),
		Value:     s.copier.bytes(m.Value),
		Headers:   s.copier.headers(m.Headers),
		Timestamp: timestamp,
	})
	p.end++
	o.stored = true
	o.receipt = broker.MessageReceipt{Partition: p.name.Partition, Timestamp: timestamp}
}

// finish gives the messages their IDs, before anybody can read them, and wakes
// their readers.
func (s *batch) finish() {
	ids, begin := string(s.ids), 0
	var last *partition
	for _, e := range s.entries {
		id := ids[begin:e.idEnd]
		begin = e.idEnd
		e.partition.messages[e.index].ID = id
		e.outgoing.receipt.ID = id
		if e.outgoing.err != nil {
			e.outgoing.receipt = broker.MessageReceipt{}
		}
		if e.partition != last {
			e.partition.wakeReaders()
			last = e.partition
		}
	}
}

// copier copies byte strings and headers into two allocations of known size.
// Absent stays absent and empty stays empty.
type copier struct {
	buffer     []byte
	headerList []broker.Header
}

func newCopier(bytes, headers int) copier {
	return copier{buffer: make([]byte, 0, bytes), headerList: make([]broker.Header, 0, headers)}
}

func (c *copier) bytes(b []byte) []byte {
	if b == nil {
		return nil
	}
	begin := len(c.buffer)
	c.buffer = append(c.buffer, b...)
	if len(b) == 0 {
		return []byte{}
	}
	return c.buffer[begin:len(c.buffer):len(c.buffer)]
}

func (c *copier) headers(headers []broker.Header) []broker.Header {
	if headers == nil {
		return nil
	}
	begin := len(c.headerList)
	for _, h := range headers {
		c.headerList = append(c.headerList, broker.Header{Key: h.Key, Value: c.bytes(h.Value)})
	}
	return c.headerList[begin:len(c.headerList):len(c.headerList)]
}
