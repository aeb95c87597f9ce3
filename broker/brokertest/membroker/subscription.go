package membroker

import (
	"cmp"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// subscription is guarded by Broker.mu. It outlives its consumers.
type subscription struct {
	b       *Broker
	name    string
	members []*Consumer // in the order in which they joined
	cursors map[broker.TopicPartition]*cursor
	// seen is how many partitions a topic had when the subscription first had it
	// assigned; those that come later begin at the earliest message.
	seen map[string]int
	// withheld partitions are given to nobody.
	withheld map[broker.TopicPartition]bool
}

func newSubscription(b *Broker, name string) *subscription {
	return &subscription{
		b: b, name: name,
		cursors:  map[broker.TopicPartition]*cursor{},
		seen:     map[string]int{},
		withheld: map[broker.TopicPartition]bool{},
	}
}

func (s *subscription) readsLocked(topic string) bool {
	return slices.ContainsFunc(s.members, func(c *Consumer) bool { return c.reads(topic) })
}

func (s *subscription) wakeMembersLocked() {
	for _, c := range s.members {
		c.wakeUp()
	}
}

// rebalanceLocked decides who should have which partition, gives away what is
// free and asks for what has to move.
func (s *subscription) rebalanceLocked() {
	cursors := s.wantedLocked()
	s.chooseTargetsLocked(cursors)
	assigned := map[*Consumer][]*cursor{}
	revoking := map[*Consumer][]*cursor{}
	for _, cur := range cursors {
		switch {
		case cur.owner == cur.target:
		case cur.owner == nil:
			assigned[cur.target] = append(assigned[cur.target], cur)
		case !cur.revoking:
			revoking[cur.owner] = append(revoking[cur.owner], cur)
		}
	}
	now := time.Now()
	for _, c := range s.members {
		c.revokeLocked(revoking[c], now)
	}
	for _, c := range s.members {
		c.assignLocked(assigned[c])
	}
}

// wantedLocked returns the cursors of all existing partitions that a member
// reads or holds, in order, and makes those that are missing.
func (s *subscription) wantedLocked() []*cursor {
	var wanted []*cursor
	topics := map[string]bool{}
	for _, c := range s.members {
		for _, name := range c.opts.Topics {
			t := s.b.topics[name]
			if t == nil || topics[name] {
				continue
			}
			topics[name] = true
			if _, ok := s.seen[name]; !ok {
				s.seen[name] = len(t.partitions)
			}
			for _, p := range t.partitions {
				wanted = append(wanted, s.cursorLocked(p))
			}
		}
	}
	slices.SortFunc(wanted, func(a, b *cursor) int { return a.partition.name.Compare(b.partition.name) })
	return wanted
}

func (s *subscription) cursorLocked(p *partition) *cursor {
	cur := s.cursors[p.name]
	if cur == nil {
		cur = newCursor(s, p)
		s.cursors[p.name] = cur
		p.cursors = append(p.cursors, cur)
	}
	return cur
}

// chooseTargetsLocked shares partitions evenly and moves as few as it can.
func (s *subscription) chooseTargetsLocked(cursors []*cursor) {
	load := map[*Consumer]int{}
	for _, cur := range cursors {
		cur.target = nil
		if keep := cur.owner; keep != nil && !cur.revoking && !s.withheld[cur.partition.name] {
			cur.target = keep
			load[keep]++
		}
	}
	for _, cur := range cursors {
		if cur.target != nil || s.withheld[cur.partition.name] {
			continue
		}
		if cur.target = s.leastLoadedLocked(cur, load); cur.target != nil {
			load[cur.target]++
		}
	}
	for moved := true; moved; {
		moved = false
		for _, cur := range cursors {
			if cur.target == nil {
				continue
			}
			if to := s.leastLoadedLocked(cur, load); load[to]+1 < load[cur.target] {
				load[cur.target]--
				load[to]++
				cur.target = to
				moved = true
			}
		}
	}
}

// leastLoadedLocked returns the member with the fewest partitions among those
// that read the cursor's topic; the oldest of them, if there are several.
func (s *subscription) leastLoadedLocked(cur *cursor, load map[*Consumer]int) *Consumer {
	var readers []*Consumer
	for _, c := range s.members {
		if c.reads(cur.partition.name.Topic) {
			readers = append(readers, c)
		}
	}
	if len(readers) == 0 {
		return nil
	}
	return slices.MinFunc(readers, func(a, b *Consumer) int { return cmp.Compare(load[a], load[b]) })
}
