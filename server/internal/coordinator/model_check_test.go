package coordinator

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/broker"
)

// check compares what the State wants done with what is to follow from the events,
// and takes over what the rules leave to the State.
func (m *model) check(t require.TestingT, s *State, effects []Effect) {
	owners := m.ownersBefore()
	for _, effect := range effects {
		m.checkEffect(t, effect)
	}
	for id, left := range m.toClients {
		require.Empty(t, left, "c%d was not told", id)
	}
	require.Empty(t, m.toBroker, "the broker was not asked")
	require.Empty(t, m.acks, "ACKs that were not handed on")
	m.checkOwnership(t, s, owners)
	m.checkLiveness(t)
	m.checkFigures(t, s)
	m.checkWake(t, s.Wake())
}

func (m *model) checkEffect(t require.TestingT, effect Effect) {
	switch e := effect.(type) {
	case Deliver:
		m.checkDeliver(t, e)
	case Assignment:
		m.checkAssignment(t, e)
	case AckMessages:
		m.checkAcks(t, e)
	case OpenConsumer, CloseConsumer, ReleasePartition, PausePartition, ResumePartition:
		m.checkAsked(t, effect)
	default:
		m.checkTold(t, effect)
	}
}

// checkTold: what a client is told comes in the order of the events, and nothing
// else does; so nothing comes before Subscribed or after End.
func (m *model) checkTold(t require.TestingT, effect Effect) {
	id := clientOf(effect)
	said := describe(effect)
	if e, ok := effect.(NotHeld); ok {
		said = describeNotHeld(e)
	}
	require.NotEmpty(t, m.toClients[id], "nothing was to be told: %s", said)
	require.Equal(t, m.toClients[id][0], said)
	m.toClients[id] = m.toClients[id][1:]
}

func (m *model) checkAsked(t require.TestingT, effect Effect) {
	asked := describe(effect)
	at := slices.Index(m.toBroker, asked)
	require.GreaterOrEqual(t, at, 0, "%q was not due; due is %q", asked, m.toBroker)
	m.toBroker = slices.Delete(m.toBroker, at, at+1)
	switch e := effect.(type) {
	case ReleasePartition: // ACKs count only before
		for id := range m.acks {
			require.NotEqual(t, e.Partition, id.Partition, "an ACK of %v after its release", id)
		}
	case CloseConsumer:
		require.Empty(t, m.acks, "ACKs after the close")
	}
}

func (m *model) checkAcks(t require.TestingT, e AckMessages) {
	require.NotEmpty(t, e.IDs)
	for _, id := range e.IDs {
		require.True(t, m.acks[id], "%v was not ACKed, or not for the first time", id)
		delete(m.acks, id)
	}
}

func (m *model) checkAssignment(t require.TestingT, e Assignment) {
	c := m.clients[e.Client]
	require.NotNil(t, c, "an assignment for c%d, who is gone", e.Client)
	require.True(t, c.accepted, "an assignment before c%d is subscribed", e.Client)
	require.Empty(t, m.toClients[e.Client], "to be told before the assignment")
	require.True(t, slices.IsSortedFunc(e.Partitions, broker.TopicPartition.Compare))
	require.False(t, c.told && slices.Equal(c.assignment, e.Partitions), "an assignment without news for c%d", e.Client)
	c.told, c.assignment = true, slices.Clone(e.Partitions)
}

// checkDeliver: C5's one rule, message by message.
func (m *model) checkDeliver(t require.TestingT, e Deliver) {
	c := m.clients[e.Client]
	require.NotNil(t, c, "messages for c%d, who is gone", e.Client)
	require.True(t, c.accepted && !c.left && !m.draining, "c%d gets no messages", e.Client)
	require.Contains(t, c.assignment, e.Partition, "c%d was not told that it owns the partition", e.Client)
	require.Empty(t, m.toClients[e.Client], "to be told before the messages")
	require.NotEmpty(t, e.Deliveries)
	p := m.partitions[e.Partition]
	require.NotNil(t, p, "messages of %v, which is gone", e.Partition)
	require.False(t, p.revoking, "messages of %v, which is leaving", e.Partition)
	for _, delivery := range e.Deliveries {
		if holder := p.holder(); holder != nil {
			require.Equal(t, c.id, holder.id, "%v is held by another client", p.name)
		}
		message := p.next()
		require.NotNil(t, message, "%v has nothing to deliver", p.name)
		require.Equal(t, message.id.Position, delivery.Message.Position, "order of %v", p.name)
		require.True(t, m.fits(c, message), "window of c%d: %d messages, %d bytes, and %d more",
			c.id, len(c.held), c.bytes(), message.size)
		m.checkAttempt(t, message.id, delivery.Attempt)
		message.holder = c
		c.held = append(c.held, message)
	}
	m.refreshClocks()
}

// checkAttempt: how often a message was delivered before it was ACKed may be
// forgotten, but not that it was. What the partition passed counts as delivered.
func (m *model) checkAttempt(t require.TestingT, id broker.MessageID, attempt uint32) {
	known := m.delivered[id]
	if known == 0 && m.wasPassed(id) {
		known = 1
	}
	least := known + 1
	if m.done[id] {
		least = 2
	}
	require.True(t, least <= attempt && attempt <= known+1, "%v: attempt %d after %d deliveries", id, attempt, known)
	delete(m.done, id)
	m.delivered[id] = attempt
}

// wasPassed reports whether messages before and behind this one were delivered
// before the partition was lost.
func (m *model) wasPassed(id broker.MessageID) bool {
	before, behind := false, false
	for other, earlier := range m.earlier {
		if earlier && other.Partition == id.Partition {
			before = before || other.Position < id.Position
			behind = behind || other.Position > id.Position
		}
	}
	return before && behind
}

// ownersBefore is who owned the partitions that could stay where they are.
func (m *model) ownersBefore() map[broker.TopicPartition]*modelClient {
	owners := make(map[broker.TopicPartition]*modelClient)
	for _, p := range m.partitions {
		if c := p.owner; c != nil && m.clients[c.id] == c && !c.left && !p.revoking {
			owners[p.name] = c
		}
	}
	return owners
}

// checkOwnership: C4. Every partition has one owner, no two clients differ by more
// than one, and no more has moved than that needs.
func (m *model) checkOwnership(t require.TestingT, s *State, before map[broker.TopicPartition]*modelClient) {
	if m.draining {
		return
	}
	for _, p := range m.partitions {
		p.owner = nil
	}
	moved, members := 0, 0
	counts := make(map[*modelClient]int)
	for _, c := range m.allClients() {
		require.Equal(t, c.accepted, c.told, "c%d knows its assignment once it is subscribed", c.id)
		require.False(t, c.left && len(c.assignment) > 0, "c%d has left", c.id)
		if c.accepted && !c.left {
			members++
		}
		for _, name := range c.assignment {
			p := m.partitions[name]
			require.NotNil(t, p, "c%d owns %v, which is gone", c.id, name)
			require.False(t, p.revoking, "c%d owns %v, which is leaving", c.id, name)
			require.Nil(t, p.owner, "%v has two owners", name)
			require.Equal(t, c.id, s.partitions[name].owner.id, "the owner of %v, as told", name)
			p.owner = c
			counts[c]++
			if before[name] != c {
				moved++
			}
		}
	}
	if members == 0 {
		return
	}
	m.checkQuotas(t, before, counts, members, moved)
}

func (m *model) checkQuotas(t require.TestingT, before map[broker.TopicPartition]*modelClient,
	counts map[*modelClient]int, members, moved int,
) {
	total := 0
	for _, p := range m.partitions {
		if !p.revoking {
			require.NotNil(t, p.owner, "%v has no owner", p.name)
			total++
		}
	}
	had := make(map[*modelClient]int)
	for _, c := range before {
		had[c]++
	}
	floor, extra, kept, above := total/members, total%members, 0, 0
	for _, c := range m.clients {
		if c.accepted && !c.left {
			require.LessOrEqual(t, counts[c], floor+min(extra, 1), "more than c%d's share", c.id)
			require.GreaterOrEqual(t, counts[c], floor, "less than c%d's share", c.id)
		}
		kept += min(had[c], floor)
		if had[c] > floor {
			above++
		}
	}
	require.Equal(t, total-kept-min(above, extra), moved, "partitions that moved, and had to")
}

// checkLiveness: after Settle nothing waits that could be delivered. A message that
// doesn't fit into its client's byte window keeps the others behind it waiting.
func (m *model) checkLiveness(t require.TestingT) {
	stuck := make(map[*modelClient]bool)
	var deliverable []*modelPartition
	for _, p := range m.allPartitions() {
		c, holder := p.owner, p.holder()
		if m.draining || p.next() == nil || c == nil || holder != nil && holder != c {
			continue
		}
		if m.fits(c, p.next()) {
			deliverable = append(deliverable, p)
		} else {
			stuck[c] = true
		}
	}
	for _, p := range deliverable {
		require.True(t, stuck[p.owner], "%v: a deliverable message waits", p.name)
	}
}

func (m *model) checkFigures(t require.TestingT, s *State) {
	var bytes int64
	for _, p := range m.partitions {
		bytes += p.bytes()
	}
	require.Equal(t, bytes, s.Bytes(), "bytes")
	require.Equal(t, len(m.partitions), s.Partitions(), "partitions")
	require.Equal(t, len(m.clients) == 0 && m.phase == idle, s.Idle(), "idle")
	require.Equal(t, m.phase, s.phase, "phase")
}

// checkWake: never too late, and never at once, for what is due has been done.
func (m *model) checkWake(t require.TestingT, wake time.Duration) {
	due := never
	for _, c := range m.clients {
		if len(c.held) > 0 {
			due = min(due, c.oldestSince+c.timeout)
		}
	}
	for _, trouble := range []modelTrouble{m.consumeTrouble, m.ackTrouble} {
		if trouble.active {
			due = min(due, trouble.toldAt+5*time.Second)
		}
	}
	if m.phase == waiting {
		due = min(due, m.reopenAt)
	}
	require.NotZero(t, wake, "wakes for nothing")
	if due != never {
		require.Positive(t, wake, "no wake-up, and something is due in %v", due-m.now)
		require.LessOrEqual(t, wake, due-m.now, "wakes too late")
	}
}
