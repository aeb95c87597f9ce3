package messageproxy

import (
	"cmp"
	"slices"
)

// unanswered is what was given to a stream and has no result yet, by sequence. Sequences
// count up, so nearly all of it is in a ring; what is still unanswered when its slot is
// needed again is in a map. Its memory is in proportion to the most messages that were
// unanswered at once, however late some are. The zero value is empty.
type unanswered struct {
	// ring has the message with a sequence, if any, at sequence & (len(ring) - 1); its
	// length is a power of two, or 0.
	ring   []*pending
	inRing int
	late   map[uint64]*pending
}

// minRing is the length of the smallest ring.
const minRing = 64

// put adds m, whose sequence no other has.
func (u *unanswered) put(m *pending) {
	if 2*u.inRing >= len(u.ring) {
		u.grow()
	}
	slot := u.slot(m.sequence)
	if old := *slot; old != nil {
		if u.late == nil {
			u.late = map[uint64]*pending{}
		}
		u.late[old.sequence] = old
		u.inRing--
	}
	*slot = m
	u.inRing++
}

func (u *unanswered) slot(sequence uint64) **pending {
	return &u.ring[sequence&uint64(len(u.ring)-1)]
}

func (u *unanswered) grow() {
	old := u.ring
	u.ring = make([]*pending, max(minRing, 2*len(old)))
	for _, m := range old {
		if m != nil {
			*u.slot(m.sequence) = m
		}
	}
}

// take removes the message with a sequence, and returns it; nil if there is none.
func (u *unanswered) take(sequence uint64) *pending {
	if u.inRing > 0 {
		if slot := u.slot(sequence); *slot != nil && (*slot).sequence == sequence {
			m := *slot
			*slot = nil
			u.inRing--
			return m
		}
	}
	m := u.late[sequence]
	delete(u.late, sequence)
	return m
}

// all returns what is unanswered, in the order of the sequences.
func (u *unanswered) all() []*pending {
	messages := make([]*pending, 0, u.inRing+len(u.late))
	for _, m := range u.late {
		messages = append(messages, m)
	}
	for _, m := range u.ring {
		if m != nil {
			messages = append(messages, m)
		}
	}
	slices.SortFunc(messages, func(a, b *pending) int { return cmp.Compare(a.sequence, b.sequence) })
	return messages
}
