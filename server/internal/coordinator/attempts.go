package coordinator

import "github.com/messageproxy/messageproxy/broker"

// attempts remembers how often messages of partitions that went were delivered, for
// when they come back. What is kept of a partition is bounded by how many of its
// messages were outstanding when it went.
type attempts map[broker.TopicPartition]*history

// history is what is known of the deliveries of one partition.
type history struct {
	// Messages at a position in [from, to) were delivered at least once: here, or by
	// another server if the partition passed them there.
	from, to uint64
	// times is how often, by position, for those that weren't ACKed in order.
	times map[uint64]uint32
	// last is not before any position in times.
	last uint64
}

// remember keeps the delivery attempts of a partition that goes.
func (a attempts) remember(p *partition) {
	h := a[p.TopicPartition]
	switch {
	case h == nil && p.to == 0:
		return // nothing was handed out, ever
	case h == nil:
		h = &history{from: p.from, to: p.to, times: make(map[uint64]uint32)}
		a[p.TopicPartition] = h
	case p.to > 0:
		h.from, h.to = min(h.from, p.from), max(h.to, p.to)
	}
	for _, e := range p.entries[p.head:] {
		if e.attempts > 0 {
			h.times[e.position] = e.attempts
			h.last = max(h.last, e.position)
		}
	}
}

// recall applies what is known to the messages of a partition from a number on, and
// forgets how often messages were delivered that the partition has passed.
func (a attempts) recall(p *partition, from uint64) {
	h := a[p.TopicPartition]
	if h == nil {
		return
	}
	for number := from; number < p.end(); number++ {
		e := p.at(number)
		e.attempts = h.timesOf(e.position)
		delete(h.times, e.position)
	}
	if p.at(p.end()-1).position >= h.last {
		clear(h.times)
	}
}

func (h *history) timesOf(position uint64) uint32 {
	if times, ok := h.times[position]; ok {
		return times
	}
	if h.from <= position && position < h.to {
		return 1
	}
	return 0
}
