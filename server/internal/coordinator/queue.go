package coordinator

// queue holds the partitions of one client that wait for their turn. It is linked
// through the partitions, so that one that changes hands leaves it at once: else a
// client that hardly ACKs would collect the traces of every move.
type queue struct{ first, last *partition }

func (c *client) enqueue(p *partition) {
	p.queuedFor = c
	p.previousInQ = c.queue.last
	if c.queue.last == nil {
		c.queue.first = p
	} else {
		c.queue.last.nextInQ = p
	}
	c.queue.last = p
}

// dequeue takes a partition out of the queue it is in, if any.
func (p *partition) dequeue() {
	if p.queuedFor == nil {
		return
	}
	q := &p.queuedFor.queue
	if p.previousInQ == nil {
		q.first = p.nextInQ
	} else {
		p.previousInQ.nextInQ = p.nextInQ
	}
	if p.nextInQ == nil {
		q.last = p.previousInQ
	} else {
		p.nextInQ.previousInQ = p.previousInQ
	}
	p.queuedFor, p.nextInQ, p.previousInQ = nil, nil, nil
}
