package history_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/messageproxy/messageproxy/integration/history"
)

// model is a proxy that does everything right, in a few lines: two servers, streams
// that come and go, partitions that move. What it does is a history without
// violations.
type model struct {
	*rapid.T
	now     time.Time
	entries []history.Entry

	servers    [2]string
	streams    []*modelStream // that are connected
	partitions []*modelPartition
	lastStream int
}

type modelStream struct {
	name   string
	server string
	held   []modelHeld // in the order of the deliveries
	// oldestSince is when held[0] became the oldest.
	oldestSince time.Time
}

type modelHeld struct {
	p        *modelPartition
	position int64
}

type modelPartition struct {
	history.Partition
	log     []history.Message
	server  string // that has it
	fetched int    // how much of the log
	waiting []int64
	holder  *modelStream
	acked   map[int64]bool
	durable int64
}

const (
	modelTimeout = 10 * time.Second
	modelWindow  = 6
)

// drawHistory draws a history without violations.
func drawHistory(t *rapid.T) []history.Entry {
	m := &model{T: t, now: epoch, servers: [2]string{"s1", "s2"}}
	m.produce()
	m.join()
	m.join()
	for _, p := range m.partitions {
		m.gain(p)
	}
	steps := []func(){m.join, m.fetch, m.fetch, m.deliver, m.deliver, m.deliver, m.ack, m.ack, m.end, m.move, m.commit}
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		rapid.SampledFrom(steps).Draw(t, "step")()
		m.pass(time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second)
	}
	m.settle()
	return m.entries
}

func (m *model) record(e history.Event) {
	m.entries = append(m.entries, history.Entry{At: m.now, Event: e})
}

// produce stores some messages, a few of each stream; some fail.
func (m *model) produce() {
	for n := range int32(2) {
		m.partitions = append(m.partitions, &modelPartition{Partition: history.Partition{Topic: "t", Number: n}, acked: make(map[int64]bool)})
	}
	for i := range rapid.IntRange(4, 40).Draw(m.T, "messages") {
		stream, sequence := fmt.Sprintf("p%d", i%2), uint64(i)
		token := fmt.Sprintf("m%d", i)
		m.record(history.Produced{Stream: stream, Sequence: sequence, Topic: "t", Token: token})
		answer := history.Answered{Stream: stream, Sequence: sequence, Outcome: history.Failed}
		if rapid.IntRange(0, 9).Draw(m.T, "fails") > 0 {
			p := rapid.SampledFrom(m.partitions).Draw(m.T, "partition")
			position := int64(rapid.IntRange(0, 2).Draw(m.T, "gap"))
			if len(p.log) > 0 {
				position += p.log[len(p.log)-1].Position + 1
			}
			p.log = append(p.log, message(p.Partition, position, token))
			answer.Outcome, answer.Partition, answer.Position = history.Stored, p.Partition, position
		}
		m.record(answer)
	}
	m.record(history.ProduceEnded{Stream: "p0"})
	m.record(history.ProduceEnded{Stream: "p1"})
}

func (m *model) join() {
	m.lastStream++
	s := &modelStream{name: fmt.Sprintf("c%d", m.lastStream), server: m.servers[m.lastStream%2]}
	m.streams = append(m.streams, s)
	m.record(history.Subscribed{
		Side: history.Server, Stream: s.name, Server: s.server, Subscription: "g", Window: modelWindow, AckTimeout: modelTimeout,
	})
}

func (m *model) partition() *modelPartition {
	return rapid.SampledFrom(m.partitions).Draw(m.T, "partition")
}

func (m *model) gain(p *modelPartition) {
	p.server = rapid.SampledFrom(m.servers[:]).Draw(m.T, "server")
	p.fetched, p.waiting = 0, nil
	for p.fetched < len(p.log) && p.log[p.fetched].Position < p.durable {
		p.fetched++
	}
	for position := range p.acked {
		if position >= p.durable {
			delete(p.acked, position)
		}
	}
	m.record(history.Gained{Server: p.server, Subscription: "g", Partitions: []history.Partition{p.Partition}})
}

func (m *model) fetch() {
	p := m.partition()
	n := min(rapid.IntRange(1, 5).Draw(m.T, "count"), len(p.log)-p.fetched)
	if n == 0 {
		return
	}
	messages := p.log[p.fetched : p.fetched+n]
	p.fetched += n
	for _, x := range messages {
		p.waiting = append(p.waiting, x.Position)
	}
	m.record(history.Fetched{Server: p.server, Subscription: "g", Partition: p.Partition, Messages: messages})
}

// deliver gives what waits of a partition to its holder, or to anybody of its server.
func (m *model) deliver() {
	p := m.partition()
	s := p.holder
	if s == nil {
		var there []*modelStream
		for _, x := range m.streams {
			if x.server == p.server {
				there = append(there, x)
			}
		}
		if len(there) == 0 {
			return
		}
		s = rapid.SampledFrom(there).Draw(m.T, "stream")
	}
	m.deliverTo(s, p, rapid.IntRange(1, 4).Draw(m.T, "count"))
}

func (m *model) deliverTo(s *modelStream, p *modelPartition, n int) {
	n = min(n, len(p.waiting), modelWindow-len(s.held))
	if n <= 0 {
		return
	}
	if len(s.held) == 0 {
		s.oldestSince = m.now
	}
	p.holder = s
	var messages []history.Message
	for _, position := range p.waiting[:n] {
		messages = append(messages, p.at(position))
		s.held = append(s.held, modelHeld{p, position})
	}
	p.waiting = p.waiting[n:]
	m.record(history.Delivered{Side: history.Server, Stream: s.name, Partition: p.Partition, Messages: messages})
}

func (p *modelPartition) at(position int64) history.Message {
	k := slices.IndexFunc(p.log, func(x history.Message) bool { return x.Position == position })
	return p.log[k]
}

func (m *model) ack() {
	if len(m.streams) == 0 {
		return
	}
	s := rapid.SampledFrom(m.streams).Draw(m.T, "stream")
	m.ackOf(s, func() bool { return rapid.Bool().Draw(m.T, "acked") })
}

// ackOf ACKs some of what a stream holds.
func (m *model) ackOf(s *modelStream, some func() bool) {
	var ids []string
	var left []modelHeld
	for k, h := range s.held {
		if !some() {
			left = append(left, h)
			continue
		}
		if k == 0 {
			s.oldestSince = m.now
		}
		ids = append(ids, h.p.at(h.position).ID)
		h.p.acked[h.position] = true
	}
	s.held = left
	if len(ids) > 0 {
		m.record(history.Acked{Side: history.Server, Stream: s.name, IDs: ids})
	}
	m.reviewHolders()
}

// reviewHolders finds out who still holds something.
func (m *model) reviewHolders() {
	for _, p := range m.partitions {
		if s := p.holder; s != nil && !slices.ContainsFunc(s.held, func(h modelHeld) bool { return h.p == p }) {
			p.holder = nil
		}
	}
}

func (m *model) end() {
	if len(m.streams) > 0 && rapid.IntRange(0, 2).Draw(m.T, "ends") == 0 {
		m.endStream(rapid.SampledFrom(m.streams).Draw(m.T, "stream"), "")
	}
}

func (m *model) endStream(s *modelStream, code string) {
	m.record(history.ConsumeEnded{Side: history.Server, Stream: s.name, Code: code})
	m.streams = slices.DeleteFunc(m.streams, func(x *modelStream) bool { return x == s })
	for _, h := range s.held {
		h.p.waiting = append(h.p.waiting, h.position)
		slices.Sort(h.p.waiting)
	}
	s.held = nil
	m.reviewHolders()
}

// pass lets time pass, and throws out who is stuck, to the second.
func (m *model) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		m.now = m.now.Add(time.Second)
		for _, s := range slices.Clone(m.streams) {
			if len(s.held) > 0 && m.now.Sub(s.oldestSince) >= modelTimeout {
				m.endStream(s, "ACK_TIMEOUT")
			}
		}
	}
}

// move takes a partition from its server, with a last commit or without.
func (m *model) move() {
	p := m.partition()
	s := p.holder
	if s != nil && rapid.Bool().Draw(m.T, "warned") {
		m.record(history.Withdrawn{Side: history.Server, Stream: s.name, Partitions: []history.Partition{p.Partition}, TimeLeft: time.Second})
		m.ackOf(s, func() bool { return rapid.Bool().Draw(m.T, "acked") })
		m.pass(time.Second)
		m.commitOf(p)
	}
	m.record(history.Lost{Server: p.server, Subscription: "g", Partitions: []history.Partition{p.Partition}})
	if s = p.holder; s != nil {
		m.record(history.Withdrawn{Side: history.Server, Stream: s.name, Partitions: []history.Partition{p.Partition}})
		if s.held[0].p == p {
			s.oldestSince = m.now
		}
		s.held = slices.DeleteFunc(s.held, func(h modelHeld) bool { return h.p == p })
		p.holder = nil
	}
	m.gain(p)
}

func (m *model) commit() { m.commitOf(m.partition()) }

func (m *model) commitOf(p *modelPartition) {
	for _, x := range p.log {
		if !p.acked[x.Position] {
			break
		}
		p.durable = x.Position + 1
	}
	m.record(history.PositionRead{Subscription: "g", Partition: p.Partition, Position: p.durable})
}

// settle finishes everything.
func (m *model) settle() {
	m.record(history.Healed{})
	m.join()
	m.join()
	for _, p := range m.partitions {
		for len(p.acked) < len(p.log) {
			m.finish(p)
		}
		m.commitOf(p)
		m.record(history.Log{Partition: p.Partition, Messages: p.log})
	}
}

// finish takes a partition a step further.
func (m *model) finish(p *modelPartition) {
	if n := len(p.log) - p.fetched; n > 0 {
		m.record(history.Fetched{Server: p.server, Subscription: "g", Partition: p.Partition, Messages: p.log[p.fetched:]})
		for _, x := range p.log[p.fetched:] {
			p.waiting = append(p.waiting, x.Position)
		}
		p.fetched += n
	}
	s := p.holder
	for _, x := range m.streams {
		if s == nil && x.server == p.server {
			s = x
		}
	}
	m.ackOf(s, func() bool { return true })
	m.deliverTo(s, p, modelWindow)
	m.ackOf(s, func() bool { return true })
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
