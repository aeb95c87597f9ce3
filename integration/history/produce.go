package history

import (
	"fmt"
	"maps"
	"slices"
)

// producer is one stream of produced messages.
type producer struct {
	name string
	sent map[uint64]*sending
	// order are the sequences as they were sent.
	order []uint64
	// answered is the last stored message in each partition, in the order of the
	// answers.
	answered map[Partition]answer
	whole    bool // it ended with every answer given
	endedAt  int  // or never
}

type sending struct {
	token    string
	at       int
	answer   int // index, or never
	answered int // how often
}

type answer struct {
	position int64
	index    int
}

func (c *checker) producerOf(name string) *producer {
	s := c.producers[name]
	if s == nil {
		s = &producer{name: name, endedAt: never, sent: make(map[uint64]*sending), answered: make(map[Partition]answer)}
		c.producers[name] = s
	}
	return s
}

func (c *checker) stepProduce(i int, event Event) {
	switch e := event.(type) {
	case Produced:
		s := c.producerOf(e.Stream)
		s.sent[e.Sequence] = &sending{token: e.Token, at: i, answer: never}
		s.order = append(s.order, e.Sequence)
	case Answered:
		c.answered(i, c.producerOf(e.Stream), e)
	case ProduceEnded:
		s := c.producerOf(e.Stream)
		s.whole, s.endedAt = !e.Broken, i
	}
}

func (c *checker) answered(i int, s *producer, e Answered) {
	sent := s.sent[e.Sequence]
	if sent == nil {
		c.report(i, "answered-unasked", fmt.Sprintf("stream %s got a result for %d, which it hadn't produced", s.name, e.Sequence), entry(i))
		return
	}
	sent.answered++
	if sent.answered > 1 {
		c.report(i, "two-results", fmt.Sprintf("stream %s got %d results for %d (%q)", s.name, sent.answered, e.Sequence, sent.token),
			entry(sent.at), entry(sent.answer), entry(i))
		return
	}
	sent.answer = i
	switch e.Outcome {
	case Stored:
		c.answeredStored(i, s, sent, e)
	case Failed:
		c.answeredFailed(i, sent)
	}
}

// answeredFailed checks that a message isn't stored. If it was sent several times,
// each of the other attempts may have stored it once.
func (c *checker) answeredFailed(i int, sent *sending) {
	t := c.tokens[sent.token]
	t.failed++
	if len(t.messages) > t.produced-t.failed {
		m := t.messages[0]
		c.report(i, "failed-but-stored", fmt.Sprintf("%q was answered failed, and is stored at %s", sent.token, m), entry(sent.at), entry(i), logged(m))
		t.failed--
	}
}

func (c *checker) answeredStored(i int, s *producer, sent *sending, e Answered) {
	if e.Partition.Topic == "" {
		return // stored, and not known in which of the topics of one name
	}
	p := c.partitionOf(e.Partition)
	if e.Position >= 0 {
		if last, ok := s.answered[e.Partition]; ok && e.Position <= last.position {
			c.report(i, "produced-out-of-order", fmt.Sprintf("stream %s was told of position %d after %d", s.name, e.Position, last.position),
				entry(last.index), entry(i))
		}
		s.answered[e.Partition] = answer{e.Position, i}
	}
	t := c.tokens[sent.token]
	if len(t.messages) == 0 {
		if c.mustBeLogged(p, e.Position) {
			c.report(i, "stored-missing", fmt.Sprintf("%q was answered stored in %s/%d, and is not in the log", sent.token, p.name.Topic, p.name.Number),
				entry(sent.at), entry(i))
		}
		return
	}
	for _, m := range t.messages {
		if m.partition == p && (m.position == e.Position || e.Position < 0) {
			return
		}
	}
	if t.produced > 1 && !c.mustBeLogged(p, e.Position) {
		return // that one is gone, the others are of other attempts
	}
	m := t.messages[0]
	c.report(i, "receipt-wrong", fmt.Sprintf("%q was answered stored at %s/%d@%d, and is at %s", sent.token, p.name.Topic, p.name.Number, e.Position, m),
		entry(sent.at), entry(i), logged(m))
}

// mustBeLogged reports whether a message that was stored at a position, -1 if that
// isn't known, must be in the log still.
func (c *checker) mustBeLogged(p *partition, position int64) bool {
	return p.hasLog && !p.compacted && !c.deleted[p.name.Topic] && (!p.expires || position >= p.lastExpiry)
}

func (c *checker) finishProduce() {
	for text, t := range c.tokens {
		if text != "" && len(t.messages) > max(t.produced-t.failed, 1) {
			c.report(len(c.entries)-1, "stored-twice", fmt.Sprintf("%q is stored at %s and at %s", text, t.messages[0], t.messages[1]),
				entry(t.producedAt), logged(t.messages[0]), logged(t.messages[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.producers)) {
		c.finishStream(c.producers[name])
	}
}

func (c *checker) finishStream(s *producer) {
	last := make(map[*partition]storedAt)
	for _, sequence := range s.order {
		sent := s.sent[sequence]
		if sent.answer == never {
			c.unanswered(s, sequence, sent)
			continue
		}
		e := c.entries[sent.answer].Event.(Answered)
		if e.Outcome != Stored {
			continue
		}
		p, position := c.partitionOf(e.Partition), e.Position
		if position < 0 {
			t := c.tokens[sent.token]
			if len(t.messages) != 1 {
				continue
			}
			p, position = t.messages[0].partition, t.messages[0].position
		}
		if earlier, ok := last[p]; ok && position < earlier.position {
			c.report(sent.answer, "produced-out-of-order", fmt.Sprintf("stream %s sent %q before %q, and they are stored at %d and %d of %s/%d",
				s.name, earlier.token, sent.token, earlier.position, position, p.name.Topic, p.name.Number),
				entry(earlier.at), entry(sent.at), entry(sent.answer))
		}
		last[p] = storedAt{position, sent.token, sent.at}
	}
}

// unanswered: a message without a result is one of a stream that broke. On one that goes
// on, the result has come when all has settled.
func (c *checker) unanswered(s *producer, sequence uint64, sent *sending) {
	switch {
	case s.whole:
		c.report(s.endedAt, "no-result", fmt.Sprintf("stream %s ended in good order without a result for %d (%q)", s.name, sequence, sent.token),
			entry(sent.at), entry(s.endedAt))
	case s.endedAt == never && c.rules.Settled && sent.at < c.healedAt:
		c.report(len(c.entries)-1, "no-result", fmt.Sprintf("stream %s goes on, and has had no result for %d (%q)", s.name, sequence, sent.token),
			entry(sent.at), entry(c.healedAt))
	}
}

type storedAt struct {
	position int64
	token    string
	at       int
}
