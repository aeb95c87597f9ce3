package coordinator

import (
	"maps"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// fakeBroker draws what a broker and its consumer may do by the broker contract, and
// no more than that.
type fakeBroker struct {
	t     chooser
	large bool // draw fetches of many messages

	session  sessionState
	assigned map[broker.TopicPartition]*fakePartition
	logs     map[broker.TopicPartition]*fakeLog

	consumeTrouble, ackTrouble bool
}

type sessionState int

const (
	noSession sessionState = iota
	sessionOpening
	sessionOpen
	sessionBroken        // it won't recover, and waits for its close
	sessionClosing       // given up while it was open
	sessionOpeningClosed // given up while it was opening
)

// fakeLog is a partition as the broker keeps it.
type fakeLog struct {
	messages []broker.Message
	acked    map[uint64]bool
	// durable is the index of the first message whose ACK may not be durable.
	durable int
}

// fakePartition is a partition as the consumer has it.
type fakePartition struct {
	next     int // index of the first message that wasn't returned
	revoking bool
	released bool
}

func newFakeBroker(t chooser) *fakeBroker {
	return &fakeBroker{
		t:        t,
		assigned: make(map[broker.TopicPartition]*fakePartition),
		logs:     make(map[broker.TopicPartition]*fakeLog),
	}
}

func fakeNames() []broker.TopicPartition {
	return append(benchNames(4), broker.TopicPartition{Topic: "u"})
}

func (b *fakeBroker) draw(label string, most int) int { return b.t.choose(label, most) }

// carryOut does what the State asked for.
func (b *fakeBroker) carryOut(effects []Effect) {
	for _, effect := range effects {
		switch e := effect.(type) {
		case OpenConsumer:
			b.session = sessionOpening
		case CloseConsumer:
			if b.session == sessionOpening {
				b.session = sessionOpeningClosed
			} else {
				b.session = sessionClosing
			}
		case ReleasePartition:
			if p := b.assigned[e.Partition]; p != nil {
				p.released = true
			}
		case AckMessages:
			for _, id := range e.IDs {
				b.logs[id.Partition].acked[id.Position] = true
			}
		}
	}
}

// events draws what happens at the broker, possibly nothing.
func (b *fakeBroker) events() []Event {
	switch b.session {
	case sessionOpening:
		if b.draw("open", 4) > 0 {
			b.session = sessionOpen
			return []Event{Opened{}}
		}
		b.session = noSession
		return []Event{OpenFailed{b.anError()}}
	case sessionOpen, sessionClosing:
		if b.session == sessionClosing && b.draw("close", 1) > 0 {
			b.reset()
			return []Event{Closed{}}
		}
		return b.poll()
	case sessionBroken:
		return nil
	case sessionOpeningClosed:
		if b.draw("open late", 1) > 0 {
			b.session = sessionClosing
			return []Event{Opened{}}
		}
		b.reset()
		return []Event{OpenFailed{b.anError()}}
	}
	return nil
}

func (b *fakeBroker) anError() error {
	return parseError([]string{"unavailable", "internal", "topic-not-found"}[b.draw("error", 2)])
}

// reset forgets the session.
func (b *fakeBroker) reset() {
	for _, name := range b.names(func(*fakePartition) bool { return true }) {
		b.lose(name)
	}
	b.session, b.consumeTrouble, b.ackTrouble = noSession, false, false
}

func (b *fakeBroker) poll() []Event {
	if b.draw("poll fails", 15) == 15 {
		b.consumeTrouble = true
		err := parseError("unavailable")
		if b.session == sessionOpen && b.draw("for good", 3) == 3 {
			b.session = sessionBroken
			err = parseError("internal")
		}
		return []Event{PollFailed{err}}
	}
	var events broker.Events
	for range 1 + b.draw("events", 3) {
		if e := b.event(); e != nil {
			events = append(events, e)
		}
	}
	var polled []Event
	if len(events) > 0 {
		polled = append(polled, Polled{events})
	}
	if b.consumeTrouble {
		b.consumeTrouble = false
		polled = append(polled, PollRecovered{})
	}
	return polled
}

// names lists assigned partitions, sorted.
func (b *fakeBroker) names(which func(*fakePartition) bool) []broker.TopicPartition {
	names := slices.SortedFunc(maps.Keys(b.assigned), broker.TopicPartition.Compare)
	return slices.DeleteFunc(names, func(name broker.TopicPartition) bool { return !which(b.assigned[name]) })
}

// some draws some of the names, in any order.
func (b *fakeBroker) some(names []broker.TopicPartition) []broker.TopicPartition {
	if len(names) == 0 {
		return nil
	}
	return shuffled(b.t, names)[:1+b.draw("count", len(names)-1)]
}

func (b *fakeBroker) event() broker.Event {
	steady := b.names(func(p *fakePartition) bool { return !p.revoking })
	switch kind := b.draw("event", 19); {
	case kind < 4 || len(steady) == 0:
		return b.assign()
	case kind < 13:
		return b.fetch(steady[b.draw("partition", len(steady)-1)])
	case kind < 14:
		names := b.some(steady)
		for _, name := range names {
			b.assigned[name].revoking = true
		}
		return broker.EventRevoking{Partitions: names, TimeLeft: 10 * time.Second}
	case kind < 17:
		return b.takeAway()
	case kind < 18:
		return broker.EventExpired{Partition: steady[0], Count: 3}
	}
	b.ackTrouble = !b.ackTrouble
	if b.ackTrouble {
		return broker.EventAckTrouble{Err: parseError("unavailable")}
	}
	return broker.EventAckRecovered{}
}

func (b *fakeBroker) assign() broker.Event {
	free := slices.DeleteFunc(fakeNames(), func(name broker.TopicPartition) bool { return b.assigned[name] != nil })
	if len(free) == 0 {
		return nil
	}
	names := b.some(free)
	for _, name := range names {
		b.assigned[name] = &fakePartition{next: b.begin(name)}
	}
	return broker.EventAssigned{Partitions: names}
}

// begin is where a partition begins that is assigned: at the first message that
// isn't ACKed, or earlier if ACKs were lost, or later if others have ACKed some.
func (b *fakeBroker) begin(name broker.TopicPartition) int {
	log := b.logs[name]
	if log == nil {
		log = &fakeLog{acked: make(map[uint64]bool)}
		b.logs[name] = log
	}
	return min(len(log.messages), log.durable+max(0, b.draw("ACKed elsewhere", 8)-6))
}

// fetch returns messages of a partition, some of them for the first time.
func (b *fakeBroker) fetch(name broker.TopicPartition) broker.Event {
	log, p := b.logs[name], b.assigned[name]
	n := 1 + b.draw("messages", 4)
	if b.large && b.draw("many", 3) == 3 {
		n *= 60
	}
	for len(log.messages) < p.next+n {
		b.produce(log)
	}
	messages := slices.Clone(log.messages[p.next : p.next+n])
	p.next += n
	return broker.EventMessages{Partition: name, Messages: messages}
}

// produce appends a message, with a gap before it or not.
func (b *fakeBroker) produce(log *fakeLog) {
	position := uint64(0)
	if n := len(log.messages); n > 0 {
		position = log.messages[n-1].Position + 1
	}
	if !b.large {
		position += uint64(max(0, b.draw("gap", 6)-4))
	}
	size := []int{1, 0, 5, 0, 10, 2, 50}[b.draw("size", 6)]
	log.messages = append(log.messages, broker.Message{Position: position, Value: make([]byte, size)})
}

// takeAway loses partitions: released ones, or any.
func (b *fakeBroker) takeAway() broker.Event {
	names := b.some(b.names(func(p *fakePartition) bool { return p.released }))
	if len(names) == 0 {
		names = b.some(b.names(func(*fakePartition) bool { return true }))
	}
	for _, name := range names {
		b.lose(name)
	}
	return broker.EventLost{Partitions: names}
}

// lose forgets a partition. If it was released, its ACKs are durable; else some of
// the last ones may not be.
func (b *fakeBroker) lose(name broker.TopicPartition) {
	log, p := b.logs[name], b.assigned[name]
	acked := log.durable
	for acked < p.next && log.acked[log.messages[acked].Position] {
		acked++
	}
	if !p.released {
		acked = max(log.durable, acked-b.draw("lost ACKs", 3))
	}
	log.durable = acked
	for _, message := range log.messages[acked:] { // what isn't ACKed comes again, and so does what is ACKed behind it
		delete(log.acked, message.Position)
	}
	delete(b.assigned, name)
}
