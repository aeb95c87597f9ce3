package coordinator

import (
	"maps"
	"slices"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// step takes an event, as State.Step does.
func (m *model) step(event Event) {
	switch e := event.(type) {
	case Tick:
		m.tick(e)
	case Join:
		m.join(e)
	case Ack:
		m.ack(e)
	case Leave:
		if c := m.clients[e.Client]; c != nil {
			c.left = true
		}
	case Gone:
		m.end(e.Client, "end OK")
	case Reject:
		m.end(e.Client, "end "+describeCode(e.Err.GetCode()))
	case Opened:
		m.opened()
	case OpenFailed:
		m.openFailed(e.Err)
	case Polled:
		m.polled(e)
	case PollFailed:
		m.pollFailed(e.Err)
	case PollRecovered:
		if m.phase == open {
			m.recover(&m.consumeTrouble)
		}
	case Closed:
		m.closed()
	case MemoryPressure:
		m.memory = e
		for _, p := range m.allPartitions() {
			m.reviewPause(p)
		}
	case Drain:
		m.drain()
	case DrainTimeout:
		m.drainOver = true
	}
	m.refreshClocks()
}

func (m *model) tick(e Tick) {
	m.now += min(max(e.Elapsed, 0), time.Second)
	for _, t := range []*modelTrouble{&m.consumeTrouble, &m.ackTrouble} {
		if t.active && m.now >= t.toldAt+5*time.Second {
			m.announce(t)
		}
	}
	for _, c := range m.allClients() {
		if len(c.held) > 0 && m.now-c.oldestSince >= c.timeout {
			m.end(c.id, "end ACK_TIMEOUT")
		}
	}
}

// ---- clients

func (m *model) join(e Join) {
	if m.draining {
		m.tell(e.Client, "end SHUTTING_DOWN")
		return
	}
	if first := m.firstCounting(); first != nil && !sameSpec(first.spec, e.Spec) {
		m.tell(e.Client, "end SUBSCRIPTION_CONFLICT")
		return
	}
	c := &modelClient{id: e.Client, spec: e.Spec, maxUnacked: m.cfg.MaxUnackedMessages, timeout: m.cfg.AckTimeout}
	if e.MaxUnackedMessages > 0 && e.MaxUnackedMessages < c.maxUnacked {
		c.maxUnacked = e.MaxUnackedMessages
	}
	if e.AckTimeout > 0 {
		c.timeout = min(e.AckTimeout, m.cfg.MaxAckTimeout)
	}
	m.clients[c.id] = c
	troubled := m.consumeTrouble.active && m.consumeTrouble.passing
	switch {
	case sameSpec(e.Spec, m.spec) && (m.phase == open || troubled):
		m.accept(c)
	case m.phase == waiting:
		m.reopenAt = m.now
	}
}

func (m *model) accept(c *modelClient) {
	c.accepted = true
	m.tell(c.id, "subscribed unacked=%d timeout=%v", c.maxUnacked, c.timeout)
	m.announceTo(c, &m.consumeTrouble)
	m.announceTo(c, &m.ackTrouble)
	if c.early != nil {
		m.tellNotHeld(c, c.early.IDs, c.early.Count)
	}
}

func (m *model) tellNotHeld(c *modelClient, ids []string, count int) {
	if count > 0 {
		m.tell(c.id, "notice NOT_HELD %d %v", count, ids)
	}
}

func (m *model) ack(e Ack) {
	c := m.clients[e.Client]
	if c == nil {
		return
	}
	var wrong []string
	for i, id := range e.IDs {
		if !m.ackOne(c, id) {
			wrong = append(wrong, e.Texts[i])
		}
	}
	count := len(wrong)
	wrong = slices.DeleteFunc(wrong, func(text string) bool { return len(text) > 512 })
	if c.accepted {
		m.tellNotHeld(c, wrong[:min(len(wrong), 1000)], count)
		return
	}
	if c.early == nil {
		c.early = &NotHeld{}
	}
	c.early.Count += count
	c.early.IDs = append(c.early.IDs, wrong...)
}

// ackOne: C1, only the holder's ACK counts.
func (m *model) ackOne(c *modelClient, id broker.MessageID) bool {
	i := slices.IndexFunc(c.held, func(message *modelMessage) bool { return message.id == id })
	if i < 0 {
		return false
	}
	message := c.held[i]
	c.held = slices.Delete(c.held, i, i+1)
	p := m.partitions[id.Partition]
	p.messages = slices.DeleteFunc(p.messages, func(other *modelMessage) bool { return other == message })
	m.acks[id] = true
	m.done[id] = true
	if p.paused {
		m.reviewPause(p)
	}
	m.releaseIfFree(p)
	return true
}

func (m *model) end(id ClientID, how string) {
	c := m.clients[id]
	if c == nil {
		return
	}
	delete(m.clients, id)
	m.tell(id, "%s", how)
	for _, p := range m.allPartitions() {
		for _, message := range p.messages {
			if message.holder == c {
				message.holder = nil
			}
		}
		if p.revoking {
			p.dropWaiting()
		}
		m.releaseIfFree(p)
	}
}

func (m *model) drain() {
	if m.draining {
		return
	}
	m.draining = true
	for _, c := range m.clients {
		if len(c.held) > 0 {
			m.tell(c.id, "notice SHUTTING_DOWN")
		}
	}
}

// ---- the consumer (C8)

func (m *model) awaiting() []*modelClient {
	return slices.DeleteFunc(m.allClients(), func(c *modelClient) bool {
		return c.accepted || !sameSpec(c.spec, m.spec)
	})
}

func (m *model) opened() {
	if m.phase != opening {
		return
	}
	m.phase = open
	m.recover(&m.consumeTrouble)
	for _, c := range m.awaiting() {
		m.accept(c)
	}
}

func (m *model) openFailed(err error) {
	if m.phase != opening {
		m.closed()
		return
	}
	m.reopenLater()
	waited := m.awaiting()
	m.begin(&m.consumeTrouble, err, passes(err))
	for _, c := range waited {
		if passes(err) {
			m.accept(c)
		} else {
			m.end(c.id, "end "+describeCode(wire.Error(err).GetCode()))
		}
	}
}

// reopenLater: 250 ms, then twice as long each time, up to 5 s.
func (m *model) reopenLater() {
	m.reopenDelay *= 2
	m.reopenDelay = max(m.reopenDelay, 250*time.Millisecond)
	m.reopenDelay = min(m.reopenDelay, 5*time.Second)
	m.phase, m.reopenAt = waiting, m.now+m.reopenDelay
}

func (m *model) closed() {
	switch {
	case m.phase != closing:
	case m.consumeTrouble.active:
		m.reopenLater()
	default:
		m.phase = idle
	}
}

func (m *model) closeConsumer() {
	m.lost(slices.SortedFunc(maps.Keys(m.partitions), broker.TopicPartition.Compare))
	m.recover(&m.ackTrouble)
	m.phase = closing
	m.ask("close")
}

func (m *model) pollFailed(err error) {
	if m.phase != open {
		return
	}
	m.begin(&m.consumeTrouble, err, true)
	if !broker.IsRetryable(err) {
		m.closeConsumer()
	}
}

// settle draws the conclusions that need no effects of the State to be known.
func (m *model) settle() {
	for _, c := range m.allClients() {
		if m.draining && (len(c.held) == 0 || m.drainOver) {
			m.end(c.id, "end SHUTTING_DOWN")
		}
	}
	needed := m.firstCounting()
	isNew := needed == nil || !sameSpec(needed.spec, m.spec)
	has := m.phase == open || m.phase == opening
	switch {
	case has && isNew:
		m.closeConsumer()
	case needed == nil && m.phase == waiting:
		m.phase = idle
	case needed != nil && (m.phase == idle || m.phase == waiting && m.now >= m.reopenAt):
		m.phase, m.spec = opening, needed.spec
		m.ask("open %v start=%d", m.spec.Topics, m.spec.Start)
	}
	if isNew { // nobody is left of those who were connected
		m.consumeTrouble.active = false
		m.reopenDelay = 0
		clear(m.delivered)
		clear(m.done)
		clear(m.earlier)
	}
	m.refreshClocks()
}

// ---- partitions

func (m *model) polled(e Polled) {
	if m.phase != open {
		return
	}
	m.reopenDelay = 0
	for _, event := range e.Events {
		switch e := event.(type) {
		case broker.EventAssigned:
			for _, name := range e.Partitions {
				m.partitions[name] = &modelPartition{name: name}
				m.reviewPause(m.partitions[name])
			}
		case broker.EventMessages:
			m.received(e)
		case broker.EventRevoking:
			m.revoke(e)
		case broker.EventLost:
			m.lost(e.Partitions)
		case broker.EventExpired:
			for _, c := range m.clients {
				if c.accepted {
					m.tell(c.id, "notice %s", describeCode(messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED))
				}
			}
		case broker.EventAckTrouble:
			m.begin(&m.ackTrouble, e.Err, true)
		case broker.EventAckRecovered:
			m.recover(&m.ackTrouble)
		}
	}
}

func (m *model) received(e broker.EventMessages) {
	p := m.partitions[e.Partition]
	if !p.begun { // what was delivered before that position was ACKed elsewhere
		p.begun = true
		for id := range m.delivered {
			m.done[id] = m.done[id] || id.Partition == p.name && id.Position < e.Messages[0].Position
		}
	}
	for i := range e.Messages {
		p.messages = append(p.messages, &modelMessage{
			id:   broker.MessageID{Partition: p.name, Position: e.Messages[i].Position},
			size: int64(e.Messages[i].Size()),
		})
	}
	m.reviewPause(p)
}

func (m *model) revoke(e broker.EventRevoking) {
	for _, name := range e.Partitions {
		p := m.partitions[name]
		p.revoking = true
		p.dropWaiting()
		m.releaseIfFree(p)
	}
	m.withdraw(e.Partitions, e.TimeLeft)
}

func (m *model) withdraw(names []broker.TopicPartition, timeLeft time.Duration) {
	for _, c := range m.clients {
		var held []broker.TopicPartition
		for _, name := range names {
			if p := m.partitions[name]; p.holder() == c {
				held = append(held, name)
			}
		}
		if len(held) > 0 {
			m.tell(c.id, "withdrawn [%s] time left %v", describePartitions(held), timeLeft)
		}
	}
}

func (m *model) lost(names []broker.TopicPartition) {
	m.withdraw(names, 0)
	for _, name := range names {
		for _, c := range m.clients {
			c.held = slices.DeleteFunc(c.held, func(message *modelMessage) bool { return message.id.Partition == name })
		}
		delete(m.partitions, name)
		for id := range m.delivered {
			m.earlier[id] = m.earlier[id] || id.Partition == name
		}
	}
}
