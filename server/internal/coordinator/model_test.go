package coordinator

import (
	"fmt"
	"slices"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
)

// model is a second implementation of the rules, without any cleverness: one record
// per message, everything found by looking through all of it. It takes the same
// events as a State. What the rules leave open (which client owns which partition,
// in which order partitions get their turn) it takes from the State's effects and
// checks that it is permitted (model_check_test.go); everything else it foretells.
type model struct {
	cfg Config
	now time.Duration

	clients    map[ClientID]*modelClient
	partitions map[broker.TopicPartition]*modelPartition
	// delivered counts deliveries; done has the messages that were ACKed, earlier
	// those that were delivered before their partition was lost.
	delivered map[broker.MessageID]uint32
	done      map[broker.MessageID]bool
	earlier   map[broker.MessageID]bool

	phase       phase
	spec        Spec
	reopenAt    time.Duration
	reopenDelay time.Duration

	consumeTrouble, ackTrouble modelTrouble

	draining, drainOver bool
	memory              MemoryPressure

	// what is to follow from the events since the last Settle
	toClients map[ClientID][]string
	toBroker  []string
	acks      map[broker.MessageID]bool
}

type modelClient struct {
	id         ClientID
	spec       Spec
	maxUnacked int
	timeout    time.Duration

	accepted, left, told bool
	assignment           []broker.TopicPartition
	early                *NotHeld
	held                 []*modelMessage // in the order of delivery
	oldest               *modelMessage
	oldestSince          time.Duration
}

type modelPartition struct {
	name     broker.TopicPartition
	messages []*modelMessage // that are not ACKed, in order
	// owner before the last sharing out, nil if it is new since.
	owner              *modelClient
	revoking, released bool
	paused, begun      bool
}

type modelMessage struct {
	id     broker.MessageID
	size   int64
	holder *modelClient // nil while it waits
}

type modelTrouble struct {
	code    messageproxyv1.ErrorCode
	active  bool
	passing bool
	text    string
	toldAt  time.Duration
}

func newModel(cfg Config) *model {
	return &model{
		cfg:            cfg,
		clients:        make(map[ClientID]*modelClient),
		partitions:     make(map[broker.TopicPartition]*modelPartition),
		delivered:      make(map[broker.MessageID]uint32),
		done:           make(map[broker.MessageID]bool),
		earlier:        make(map[broker.MessageID]bool),
		toClients:      make(map[ClientID][]string),
		acks:           make(map[broker.MessageID]bool),
		consumeTrouble: modelTrouble{code: messageproxyv1.ErrorCode_ERROR_CODE_CONSUME_FAILED},
		ackTrouble:     modelTrouble{code: messageproxyv1.ErrorCode_ERROR_CODE_ACK_FAILED},
	}
}

func (m *model) tell(c ClientID, format string, args ...any) {
	m.toClients[c] = append(m.toClients[c], fmt.Sprintf("c%d <- ", c)+fmt.Sprintf(format, args...))
}

func (m *model) ask(format string, args ...any) {
	m.toBroker = append(m.toBroker, "broker <- "+fmt.Sprintf(format, args...))
}

// ---- looking around

func (m *model) allClients() []*modelClient {
	var clients []*modelClient
	for _, c := range m.clients {
		clients = append(clients, c)
	}
	slices.SortFunc(clients, func(a, b *modelClient) int { return int(a.id) - int(b.id) })
	return clients
}

func (m *model) allPartitions() []*modelPartition {
	var partitions []*modelPartition
	for _, p := range m.partitions {
		partitions = append(partitions, p)
	}
	slices.SortFunc(partitions, func(a, b *modelPartition) int { return a.name.Compare(b.name) })
	return partitions
}

// counts: DESIGN's C8, "clients that have sent leave count until they hold nothing".
func (c *modelClient) counts() bool { return !c.left || len(c.held) > 0 }

func (m *model) firstCounting() *modelClient {
	for _, c := range m.allClients() {
		if c.counts() {
			return c
		}
	}
	return nil
}

func (c *modelClient) bytes() (n int64) {
	for _, message := range c.held {
		n += message.size
	}
	return n
}

func (p *modelPartition) bytes() (n int64) {
	for _, message := range p.messages {
		n += message.size
	}
	return n
}

// holder is who holds messages of the partition, or nil.
func (p *modelPartition) holder() *modelClient {
	for _, message := range p.messages {
		if message.holder != nil {
			return message.holder
		}
	}
	return nil
}

// next is the first message that waits, or nil.
func (p *modelPartition) next() *modelMessage {
	for _, message := range p.messages {
		if message.holder == nil {
			return message
		}
	}
	return nil
}

// fits: C2. With the window used up nothing goes out, and what is above it alone.
func (m *model) fits(c *modelClient, message *modelMessage) bool {
	if len(c.held) == 0 {
		return true
	}
	return len(c.held) < c.maxUnacked && c.bytes() < m.cfg.MaxUnackedBytes &&
		c.bytes()+message.size <= m.cfg.MaxUnackedBytes
}

// refreshClocks: C6, the clock runs from when a message became the oldest.
func (m *model) refreshClocks() {
	for _, c := range m.clients {
		var oldest *modelMessage
		if len(c.held) > 0 {
			oldest = c.held[0]
		}
		if oldest != c.oldest {
			c.oldest, c.oldestSince = oldest, m.now
		}
	}
}

// reviewPause: C7, above the fair share near the budget; back at half of it. Whatever
// it holds when the budget is used up.
func (m *model) reviewPause(p *modelPartition) {
	switch {
	case p.revoking:
	case !p.paused && m.memory.Over && (m.memory.Full || p.bytes() > m.memory.FairShare):
		p.paused = true
		m.ask("pause %v", p.name)
	case p.paused && (!m.memory.Over || !m.memory.Full && p.bytes() <= m.memory.FairShare/2):
		p.paused = false
		m.ask("resume %v", p.name)
	}
}

func (m *model) releaseIfFree(p *modelPartition) {
	if p.revoking && !p.released && p.holder() == nil {
		p.released = true
		m.ask("release %v", p.name)
	}
}

func (p *modelPartition) dropWaiting() {
	p.messages = slices.DeleteFunc(p.messages, func(message *modelMessage) bool { return message.holder == nil })
}

// ---- trouble (C9)

func (m *model) begin(t *modelTrouble, cause error, passing bool) {
	news := !t.active || t.text != cause.Error()
	t.active, t.passing, t.text = true, passing, cause.Error()
	if news {
		m.announce(t)
	}
}

func (m *model) announce(t *modelTrouble) {
	t.toldAt = m.now
	for _, c := range m.clients {
		m.announceTo(c, t)
	}
}

func (m *model) announceTo(c *modelClient, t *modelTrouble) {
	if t.active && c.accepted {
		m.tell(c.id, "error %s", describeCode(t.code))
	}
}

func (m *model) recover(t *modelTrouble) {
	for _, c := range m.clients {
		if t.active && c.accepted {
			m.tell(c.id, "recovered %s", describeCode(t.code))
		}
	}
	t.active = false
}
