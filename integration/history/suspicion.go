package history

import "fmt"

// suspicion is that a stream of which nothing is known but what it saw still held a
// partition when another stream of its server got messages of it. It may have lost
// the partition before, and not know yet; or the other may have read late what it got
// earlier. But what the other got was sent later if it was produced later. And what a
// server tells a stream comes in order: if the first goes on to get a message that was
// produced later still, without having been told anything of its loss before, then it
// did hold it.
type suspicion struct {
	hold  *hold
	at    int    // the other's delivery
	first *held  // what it held
	other string // who got messages
}

// suspect looks for other streams that hold something of a partition that a stream
// gets messages of.
func (c *checker) suspect(i int, sh *share, h *hold, messages []*message) {
	others := sh.holds[:0]
	mine := false
	for _, other := range sh.holds {
		if other.over || other.stream.ended {
			continue
		}
		others = append(others, other)
		mine = mine || other == h
		if other == h || other.unacked == 0 || !other.leaving.IsZero() || other.suspected {
			continue
		}
		first := other.messages[other.acked]
		if !c.anyProducedAfter(first.at, messages) {
			continue
		}
		other.suspected = true
		other.stream.suspects = append(other.stream.suspects, suspicion{other, i, first, h.stream.name})
	}
	if !mine {
		others = append(others, h)
	}
	sh.holds = others
}

// anyProducedAfter reports whether one of the messages was produced after an entry.
func (c *checker) anyProducedAfter(i int, messages []*message) bool {
	for _, m := range messages {
		if c.sentAt(m) > i {
			return true
		}
	}
	return false
}

// confirmSuspicions is called when a stream gets a message.
func (c *checker) confirmSuspicions(i int, s *stream, m *message) {
	if len(s.suspects) == 0 {
		return
	}
	sentAt := c.sentAt(m)
	for len(s.suspects) > 0 && sentAt > s.suspects[0].at {
		x := s.suspects[0]
		s.suspects = s.suspects[1:]
		if x.hold.leaving.IsZero() {
			c.report(x.at, "two-holders", fmt.Sprintf("stream %s got messages of %s while stream %s held it, which went on: it got %q, produced later",
				x.other, x.hold.share, s.name, m.token),
				evidence{x.first.at, x.first.message}, entry(x.at), entry(sentAt), evidence{i, m})
		}
	}
}
