package coordinator

import (
	"fmt"
	"slices"
	"time"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// polled applies what the consumer reported, in its order.
func (s *State) polled(e Polled) {
	if s.phase != open {
		return // the consumer is given up
	}
	s.reopenDelay = 0
	for i, event := range e.Events {
		switch event := event.(type) {
		case broker.EventAssigned:
			for _, name := range event.Partitions {
				s.addPartition(name)
			}
		case broker.EventMessages:
			s.received(event, e.Events[i+1:])
		case broker.EventRevoking:
			s.revoking(event)
		case broker.EventLost:
			s.lost(event.Partitions)
		case broker.EventExpired:
			s.expired(event)
		case broker.EventAckTrouble:
			s.begin(&s.ackTrouble, event.Err, true)
		case broker.EventAckRecovered:
			s.recover(&s.ackTrouble)
		}
	}
}

// messagesOf is how many messages of the partition the events begin with.
func messagesOf(partition broker.TopicPartition, events broker.Events) (n int) {
	for _, event := range events {
		e, ok := event.(broker.EventMessages)
		if !ok || e.Partition != partition {
			break
		}
		n += len(e.Messages)
	}
	return n
}

// received takes messages; following are the events after them.
func (s *State) received(e broker.EventMessages, following broker.Events) {
	p := s.partitions[e.Partition]
	if p == nil || p.revoking {
		return
	}
	held := p.bytes
	from := p.end()
	if !p.hasRoom(len(e.Messages)) {
		p.makeRoom(len(e.Messages) + messagesOf(e.Partition, following))
	}
	p.push(e.Messages)
	s.bytes += p.bytes - held
	s.messages += len(e.Messages)
	s.attempts.recall(p, from)
	s.reviewPause(p)
	s.enqueue(p)
}

// revoking stops deliveries of partitions that another server wants, tells those
// who hold messages of them how long their ACKs count, and lets go at once what
// nobody holds.
func (s *State) revoking(e broker.EventRevoking) {
	var held []*partition
	for _, name := range e.Partitions {
		p := s.partitions[name]
		if p == nil || p.revoking {
			continue
		}
		p.revoking = true
		s.disown(p)
		s.dropWaiting(p)
		if p.holder == nil {
			s.release(p)
		} else {
			held = append(held, p)
		}
	}
	s.withdraw(held, e.TimeLeft)
	s.ownershipDirty = true
}

func (s *State) dropWaiting(p *partition) {
	s.attempts.remember(p)
	s.bytes -= p.bytes - p.inFlightBytes
	s.messages -= p.waiting()
	p.dropWaiting()
}

func (s *State) release(p *partition) {
	s.flushAcks() // they count only before
	s.emit(ReleasePartition{p.TopicPartition})
}

// lost forgets partitions. Who holds messages of them is told.
func (s *State) lost(names []broker.TopicPartition) {
	var held []*partition
	for _, name := range names {
		p := s.partitions[name]
		if p == nil {
			continue
		}
		s.attempts.remember(p)
		s.disown(p)
		delete(s.partitions, name)
		p.gone = true
		s.bytes -= p.bytes
		s.messages -= p.held()
		if p.holder != nil {
			held = append(held, p)
		}
	}
	s.withdraw(held, 0)
	for _, p := range held {
		c := p.holder
		c.unacked -= p.inFlight
		c.bytes -= p.inFlightBytes
		p.holder = nil
		s.reviewOldest(c)
		s.markReady(c)
	}
	s.sorted = slices.DeleteFunc(s.sorted, (*partition).forget)
	s.ownershipDirty = true
}

// forget drops what a partition that is gone holds, for spans may keep the
// partition itself for a while, and reports whether it is gone.
func (p *partition) forget() bool {
	if p.gone {
		p.backlog = backlog{}
	}
	return p.gone
}

// dropAll forgets all partitions at once.
func (s *State) dropAll() {
	names := make([]broker.TopicPartition, 0, len(s.sorted))
	for _, p := range s.sorted {
		names = append(names, p.TopicPartition)
	}
	s.lost(names)
	s.recover(&s.ackTrouble) // what couldn't be made durable is gone
}

// withdraw tells each holder which of its partitions are leaving.
func (s *State) withdraw(held []*partition, timeLeft time.Duration) {
	slices.SortStableFunc(held, func(a, b *partition) int { return compareClient(a.holder, b.holder.id) })
	for len(held) > 0 {
		c := held[0].holder
		var names []broker.TopicPartition
		for len(held) > 0 && held[0].holder == c {
			names = append(names, held[0].TopicPartition)
			held = held[1:]
		}
		s.emit(Withdrawn{c.id, names, timeLeft})
	}
}

func (s *State) expired(e broker.EventExpired) {
	count := "messages"
	if e.Count > 0 {
		count = fmt.Sprintf("up to %d messages", e.Count)
	}
	err := wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_MESSAGES_EXPIRED, false,
		"the broker deleted %s of topic %q partition %d before they were delivered; the subscription goes on with the "+
			"oldest that is left: make the topic's retention longer than the subscription may lag behind",
		count, e.Partition.Topic, e.Partition.Partition)
	for _, c := range s.order {
		if c.accepted {
			s.emit(Notice{c.id, err})
		}
	}
}
