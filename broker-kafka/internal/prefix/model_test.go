package prefix_test

import (
	"fmt"
	"testing"

	"github.com/messageproxy/messageproxy/broker-kafka/internal/prefix"
	"pgregory.net/rapid"
)

// model is the tracker as its documentation reads, without any cleverness.
type model struct {
	delivered []int64
	acked     map[int64]bool
	end       int64
	durable   int64
}

func newModel(start int64) *model {
	return &model{acked: make(map[int64]bool), end: start, durable: start}
}

func (m *model) position() int64 {
	for _, offset := range m.delivered {
		if !m.acked[offset] {
			return offset
		}
	}
	return m.end
}

func (m *model) outstandingAbove(position int64) (n int) {
	for _, offset := range m.delivered {
		if offset >= position {
			n++
		}
	}
	return n
}

func (m *model) ack(offset int64) bool {
	for _, delivered := range m.delivered {
		if delivered == offset && offset >= m.durable && !m.acked[offset] {
			m.acked[offset] = true
			return true
		}
	}
	return false
}

// pair drives a tracker and its model with the same calls.
type pair struct {
	tracker *prefix.Tracker
	model   *model
}

func newPair(start int64) *pair { return &pair{prefix.New(start), newModel(start)} }

func (p *pair) deliver(gap int64) {
	offset := p.model.end + gap
	p.tracker.Deliver(offset)
	p.model.delivered = append(p.model.delivered, offset)
	p.model.end = offset + 1
}

func (p *pair) advance(by int64) {
	p.tracker.Advance(p.model.end + by)
	p.model.end = max(p.model.end, p.model.end+by)
}

func (p *pair) ack(offset int64) error {
	if got, want := p.tracker.Ack(offset), p.model.ack(offset); got != want {
		return fmt.Errorf("Ack(%d) = %v, want %v", offset, got, want)
	}
	return nil
}

func (p *pair) commit(position int64) {
	p.tracker.Commit(position)
	p.model.durable = max(p.model.durable, position)
}

func (p *pair) check() error {
	m, t := p.model, p.tracker
	if got, want := t.Position(), m.position(); got != want {
		return fmt.Errorf("Position() = %d, want %d", got, want)
	}
	if got, want := t.Durable(), m.durable; got != want {
		return fmt.Errorf("Durable() = %d, want %d", got, want)
	}
	if got, want := t.Outstanding(), m.outstandingAbove(m.durable); got != want {
		return fmt.Errorf("Outstanding() = %d, want %d", got, want)
	}
	if got, want := t.Held(), m.outstandingAbove(m.position()); got != want {
		return fmt.Errorf("Held() = %d, want %d", got, want)
	}
	return nil
}

func TestTrackerAgreesWithItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(rapid.Int64Range(0, 1<<40).Draw(t, "start"))
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "count") {
					p.deliver(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<30)).Draw(t, "gap"))
				}
			},
			"advance": func(t *rapid.T) { p.advance(rapid.Int64Range(-3, 10).Draw(t, "by")) },
			"ack": func(t *rapid.T) {
				if len(p.model.delivered) == 0 {
					t.Skip("nothing is delivered")
				}
				for range rapid.IntRange(1, 100).Draw(t, "count") {
					offset := rapid.SampledFrom(p.model.delivered).Draw(t, "offset")
					if err := p.ack(offset + rapid.SampledFrom([]int64{0, 0, 0, 1, -1}).Draw(t, "off by")); err != nil {
						t.Fatal(err)
					}
				}
			},
			"commit": func(t *rapid.T) {
				p.commit(rapid.Int64Range(p.model.durable, p.model.position()).Draw(t, "position"))
			},
			"": func(t *rapid.T) {
				if err := p.check(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
