package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// calm checks the calm part of a history, in which neither servers nor the broker
// are disturbed, so that what at-least-once forgives has no excuse. It needs little of
// what the other checks know.
type calm struct {
	*pass
	is             bool
	produceTimeout time.Duration

	streams   map[string]*calmStream    // as servers see them
	readings  map[*reading]*calmReading // of servers' streams alone
	producers map[string]string         // the server of each stream
	produced  map[calmMessage]time.Time // when, of those without a result
	draining  map[string]bool
}

type calmMessage struct {
	stream   string
	sequence uint64
}

// calmStream is a stream and what it holds, by ID.
type calmStream struct {
	server, subscription string
	held                 map[string]*message
	acked                []*message // at the time at
	at                   time.Time
}

// calmReading is what is done of one partition in one subscription.
type calmReading struct {
	from  int64                  // the first position that a server fetched
	acked map[*message]time.Time // by who held it
	// done is the position below which everything was ACKed when a server lost the
	// partition; lost is the entry at which it did.
	done int64
	lost int
}

func (c *checker) checkCalm() {
	x := &calm{
		pass: newPass(c), streams: make(map[string]*calmStream), readings: make(map[*reading]*calmReading),
		producers: make(map[string]string), produced: make(map[calmMessage]time.Time),
		draining: make(map[string]bool),
	}
	for i := range c.entries {
		switch e := c.entries[i].Event.(type) {
		case Calm:
			x.is, x.produceTimeout = true, e.ProduceTimeout
		case Disturbed:
			return // what was going on then may come later
		}
		if x.is {
			x.stepConsume(i)
			x.stepProduce(i)
		}
	}
}

// isDisturbed reports whether, before entry i, servers or the broker were disturbed,
// or a server was asked to shut down.
func (c *checker) isDisturbed(i int, server string) bool {
	return slices.ContainsFunc(c.entries[:i], func(e Entry) bool {
		_, disturbed := e.Event.(Disturbed)
		draining, ok := e.Event.(Draining)
		return disturbed || ok && draining.Server == server
	})
}

func (x *calm) stepConsume(i int) {
	switch e := x.entries[i].Event.(type) {
	case Subscribed:
		if e.Side == Server {
			x.streams[e.Stream] = &calmStream{server: e.Server, subscription: e.Subscription, held: make(map[string]*message)}
		}
	case Delivered:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			for k := range e.Messages {
				m := x.partitionOf(e.Partition).messageAt(&e.Messages[k])
				x.taken(i, s, e.Messages[k].ID, m)
				s.held[e.Messages[k].ID] = m
			}
		}
	case Acked:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			x.acked(i, s, e.IDs)
		}
	case ConsumeEnded:
		if s := x.streams[e.Stream]; s != nil && e.Side == Server {
			x.ended(i, s, e)
		}
	case Lost:
		for _, name := range e.Partitions {
			x.lost(i, e, x.partitionOf(name))
		}
	case Fetched:
		x.fetched(i, e)
	}
}

func (x *calm) readingOf(subscription string, p *partition) *calmReading {
	r := x.checker.readingOf(x.subscriptionOf(subscription), p)
	if x.readings[r] == nil {
		x.readings[r] = &calmReading{from: -1, acked: make(map[*message]time.Time), lost: never}
	}
	return x.readings[r]
}

func (x *calm) acked(i int, s *calmStream, ids []string) {
	if !s.at.Equal(x.at(i)) {
		s.acked, s.at = s.acked[:0], x.at(i)
	}
	for _, id := range ids {
		if m := s.held[id]; m != nil {
			delete(s.held, id)
			s.acked = append(s.acked, m)
			x.readingOf(s.subscription, m.partition).acked[m] = x.at(i)
		}
	}
}

// taken: a message that goes to a client is no other one's any more. If that is at the
// time of its ACK, the ACK came too late, as when it was just then due.
func (x *calm) taken(i int, s *calmStream, id string, m *message) {
	for _, other := range x.streams {
		if other.subscription == s.subscription {
			delete(other.held, id)
		}
	}
	if acked := x.readingOf(s.subscription, m.partition).acked; acked[m].Equal(x.at(i)) {
		delete(acked, m)
	}
}

// ended: if the server ended the stream, ACKs that came at the same time may have come
// too late.
func (x *calm) ended(i int, s *calmStream, e ConsumeEnded) {
	if e.Code != "" && s.at.Equal(x.at(i)) {
		for _, m := range s.acked {
			delete(x.readingOf(s.subscription, m.partition).acked, m)
		}
	}
	delete(x.streams, e.Stream)
}

// lost finds out up to where everything is done when a server lets a partition go.
// ACKs that come at the same time may come too late.
func (x *calm) lost(i int, e Lost, p *partition) {
	for _, s := range x.streams {
		if s.server == e.Server && s.subscription == e.Subscription {
			for id, m := range s.held {
				if m.partition == p {
					delete(s.held, id)
				}
			}
		}
	}
	r := x.readingOf(e.Subscription, p)
	if r.from < 0 || p.expires || p.compacted {
		return // the log doesn't have everything that there was
	}
	for n := p.after(max(r.done, r.from) - 1); n < len(p.log); n++ {
		at, ok := r.acked[p.log[n]]
		if !ok || !at.Before(x.at(i)) {
			break
		}
		r.done, r.lost = p.log[n].position+1, i
	}
	// ACKs behind a message without one went with the partition.
	maps.DeleteFunc(r.acked, func(m *message, _ time.Time) bool { return m.position >= r.done })
}

func (x *calm) fetched(i int, e Fetched) {
	p := x.partitionOf(e.Partition)
	r := x.readingOf(e.Subscription, p)
	for k := range e.Messages {
		m := &e.Messages[k]
		if r.from < 0 {
			r.from = m.Position
		}
		if m.Position < r.done {
			x.violate(i, "acked-comes-again", fmt.Sprintf("server %s fetches %s/%d@%d for %s, which was ACKed, with all before it, before its last server let the partition go",
				e.Server, p.name.Topic, p.name.Number, m.Position, e.Subscription), r.lost, i)
			return
		}
	}
}

func (x *calm) stepProduce(i int) {
	switch e := x.entries[i].Event.(type) {
	case ProduceOpened:
		x.producers[e.Stream] = e.Server
	case Produced:
		x.produced[calmMessage{e.Stream, e.Sequence}] = x.at(i)
	case Draining:
		x.draining[e.Server] = true
	case Stopped:
		x.draining[e.Server] = true
	case Answered:
		x.answered(i, e)
		delete(x.produced, calmMessage{e.Stream, e.Sequence})
	case ProduceEnded:
		x.broke(i, e)
	}
}

// broke: a server that fails leaves messages without a result.
func (x *calm) broke(i int, e ProduceEnded) {
	code, _, _ := strings.Cut(e.Why, ":")
	if server := x.producers[e.Stream]; !e.Broken || code != "INTERNAL" || server == "" || x.draining[server] {
		return
	}
	for m := range x.produced {
		if m.stream == e.Stream {
			x.violate(i, "failed-without-cause", fmt.Sprintf("stream %s was ended with messages that have no result, and nothing was wrong: %s", e.Stream, e.Why), i)
			return
		}
	}
}

// answered: a stream whose server is known is one of the stubs, and what it is told is
// what the server says.
func (x *calm) answered(i int, e Answered) {
	server := x.producers[e.Stream]
	if e.Outcome == Stored || server == "" || x.draining[server] {
		return
	}
	waited := x.at(i).Sub(x.produced[calmMessage{e.Stream, e.Sequence}])
	code, _, _ := strings.Cut(e.Why, ":")
	switch code {
	case "BROKER_UNAVAILABLE", "UNKNOWN_OUTCOME", "SHUTTING_DOWN", "INTERNAL":
		if waited < x.produceTimeout {
			x.violate(i, "failed-without-cause", fmt.Sprintf("stream %s was told that %d isn't, or may not be, stored, after %v, and nothing was wrong: %s",
				e.Stream, e.Sequence, waited, e.Why), i)
		}
	}
}
