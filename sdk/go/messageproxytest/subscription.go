package messageproxytest

import (
	"cmp"
	"maps"
	"slices"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	messageproxy "github.com/messageproxy/messageproxy/sdk/go"
)

// subscription is a reading position over topics and who reads. Guarded by the
// server's mu.
type subscription struct {
	topics     []string // sorted
	members    []*member
	partitions []*partition // sorted by topic and number
	byID       map[string]*delivery
	acked      []*messageproxy.Message
}

// partition is the position in one partition.
type partition struct {
	topic  string
	number int32
	owner  *member
	// holder has messages of the partition that it hasn't ACKed; nobody else gets
	// any meanwhile.
	holder *member
	held   int
	// next is the index of the message to deliver next.
	next     int
	messages []*delivery // by index, as far as next has ever come
	// away: withdrawn, with time left.
	away bool
}

// delivery is what became of one message.
type delivery struct {
	message   *messageproxy.Message
	partition *partition
	index     int
	attempts  uint32
	held      bool
	acked     bool
}

// subscriptionLocked returns the subscription, which is a new one if nobody has
// used its name before.
func (s *Server) subscriptionLocked(request *messageproxyv1.SubscribeRequest) *subscription {
	if sub := s.subscriptions[request.GetSubscription()]; sub != nil {
		return sub
	}
	sub := &subscription{topics: distinct(request.GetTopics()), byID: map[string]*delivery{}}
	for _, name := range sub.topics {
		for i, messages := range s.topicLocked(name).partitions {
			p := &partition{topic: name, number: int32(i)}
			if request.GetStartPosition() == messageproxyv1.StartPosition_START_POSITION_LATEST {
				p.next = len(messages)
				p.messages = make([]*delivery, len(messages))
			}
			sub.partitions = append(sub.partitions, p)
		}
	}
	s.subscriptions[request.GetSubscription()] = sub
	return sub
}

func distinct(topics []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(topics)))
}

func (sub *subscription) sameTopics(topics []string) bool {
	return slices.Equal(sub.topics, distinct(topics))
}

// share gives each member that isn't leaving its share of the partitions, and
// moves as few as it can.
func (sub *subscription) share() {
	owned := map[*member]int{}
	for _, m := range sub.members {
		if !m.leaving {
			owned[m] = 0
		}
	}
	before := make([]*member, len(sub.partitions))
	quota := (len(sub.partitions) + len(owned) - 1) / max(len(owned), 1)
	for i, p := range sub.partitions {
		before[i] = p.owner
		if n, ok := owned[p.owner]; ok && n < quota {
			owned[p.owner]++
		} else {
			p.owner = nil
		}
	}
	for _, p := range sub.partitions {
		if p.owner == nil && len(owned) > 0 {
			p.owner = sub.leastBusy(owned)
			owned[p.owner]++
		}
	}
	sub.balance(owned)
	sub.announce(before)
}

// balance moves partitions until no two members differ by more than one.
func (sub *subscription) balance(owned map[*member]int) {
	for len(owned) > 0 {
		least := sub.leastBusy(owned)
		i := slices.IndexFunc(sub.partitions, func(p *partition) bool { return owned[p.owner] > owned[least]+1 })
		if i < 0 {
			return
		}
		owned[sub.partitions[i].owner]--
		owned[least]++
		sub.partitions[i].owner = least
	}
}

// leastBusy is the member with the fewest partitions, the first to have joined if
// there are several.
func (sub *subscription) leastBusy(owned map[*member]int) *member {
	candidates := slices.DeleteFunc(slices.Clone(sub.members), func(m *member) bool { return m.leaving })
	return slices.MinFunc(candidates, func(a, b *member) int { return cmp.Compare(owned[a], owned[b]) })
}

// announce tells the members whose partitions have changed which they own.
func (sub *subscription) announce(before []*member) {
	changed := map[*member]bool{}
	for i, p := range sub.partitions {
		if p.owner != before[i] {
			changed[p.owner], changed[before[i]] = true, true
		}
	}
	for _, m := range sub.members {
		if !changed[m] {
			continue
		}
		assignment := &messageproxyv1.Assignment{}
		for _, p := range sub.partitions {
			if p.owner == m {
				assignment.Partitions = append(assignment.Partitions, p.name())
			}
		}
		m.respond(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Assignment{Assignment: assignment}})
	}
}

func (p *partition) name() *messageproxyv1.TopicPartition {
	return &messageproxyv1.TopicPartition{Topic: p.topic, Partition: p.number}
}

// deliver gives the members whatever they may have now, a batch each.
func (sub *subscription) deliver(s *Server) {
	batches := map[*member]*messageproxyv1.MessageBatch{}
	for _, p := range sub.partitions {
		if p.owner == nil || p.away || (p.holder != nil && p.holder != p.owner) {
			continue
		}
		if messages := sub.take(p, s.topics[p.topic].partitions[p.number]); len(messages) > 0 {
			batch := batches[p.owner]
			if batch == nil {
				batch = &messageproxyv1.MessageBatch{}
				batches[p.owner] = batch
			}
			batch.Partitions = append(batch.Partitions, &messageproxyv1.PartitionMessages{Topic: p.topic, Partition: p.number, Messages: messages})
		}
	}
	for m, batch := range maps.All(batches) {
		m.respond(&messageproxyv1.ConsumeResponse{Response: &messageproxyv1.ConsumeResponse_Batch{Batch: batch}})
	}
}

// take has p's owner hold the next messages of p that it has room for.
func (sub *subscription) take(p *partition, log []*messageproxy.Message) []*messageproxyv1.Message {
	var messages []*messageproxyv1.Message
	for ; p.next < len(log) && p.owner.unacked < p.owner.maxUnacked; p.next++ {
		if p.next == len(p.messages) {
			d := &delivery{message: log[p.next], partition: p, index: p.next}
			p.messages = append(p.messages, d)
			sub.byID[d.message.ID] = d
		}
		d := p.messages[p.next]
		if d.acked {
			continue
		}
		d.held = true
		d.attempts++
		p.holder = p.owner
		p.held++
		p.owner.unacked++
		messages = append(messages, messageToWire(d.message, d.attempts))
	}
	return messages
}

// ack takes the ACK of a message and reports whether m held it.
func (sub *subscription) ack(m *member, id string) bool {
	d := sub.byID[id]
	if d == nil || !d.held || d.partition.holder != m {
		return false
	}
	d.acked = true
	sub.acked = append(sub.acked, d.message)
	d.drop()
	return true
}

// drop takes the message from its holder.
func (d *delivery) drop() {
	p := d.partition
	d.held = false
	p.holder.unacked--
	if p.held--; p.held == 0 {
		p.holder = nil
	}
}

// takeBack has what is held of p delivered again.
func (p *partition) takeBack() {
	for i := len(p.messages) - 1; i >= 0; i-- {
		if d := p.messages[i]; d != nil && d.held {
			d.drop()
			p.next = i
		}
	}
}

// remove takes a member out.
func (sub *subscription) remove(m *member) {
	sub.members = slices.DeleteFunc(sub.members, func(other *member) bool { return other == m })
	for _, p := range sub.partitions {
		if p.holder == m {
			p.takeBack()
		}
	}
	sub.share()
}
