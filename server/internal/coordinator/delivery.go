package coordinator

// chunk is how many messages of one partition a client gets before it is another
// partition's turn.
const chunk = 128

// markReady makes the next Settle look at what can be delivered to a client.
func (s *State) markReady(c *client) {
	if !c.isReady && c.queue.first != nil {
		c.isReady = true
		s.ready = append(s.ready, c)
	}
}

// enqueue lets a partition wait for its turn with its owner, if there is something
// to deliver and nobody else holds any of it (C5).
func (s *State) enqueue(p *partition) {
	if !p.deliverable() {
		return
	}
	if p.queuedFor == nil {
		p.owner.enqueue(p)
	}
	s.markReady(p.owner)
}

// deliverable is the one rule of C5, but for the room in the owner's window.
func (p *partition) deliverable() bool {
	return p.waiting() > 0 && p.owner != nil && !p.owner.left && (p.holder == nil || p.holder == p.owner)
}

func (s *State) deliverAll() {
	for _, c := range s.ready {
		c.isReady = false
		if s.clients[c.id] == c && !s.draining {
			s.deliver(c)
		}
	}
	clear(s.ready)
	s.ready = s.ready[:0]
}

// deliver hands a client what its partitions have for it, in turns, until its
// window is full (C2).
func (s *State) deliver(c *client) {
	for c.queue.first != nil && c.unacked < c.maxUnacked {
		p := c.queue.first
		from := p.next
		deliveries, bytes := p.take(min(chunk, c.maxUnacked-c.unacked), s.cfg.MaxUnackedBytes-c.bytes, c.unacked == 0)
		if len(deliveries) == 0 {
			return // no room for its next message
		}
		p.holder = c
		c.unacked += len(deliveries)
		c.bytes += bytes
		s.handed(c, p, from, p.next)
		s.emit(Deliver{c.id, p.TopicPartition, deliveries})
		p.dequeue()
		if p.waiting() > 0 {
			c.enqueue(p)
		}
	}
}

// memoryPressure notes the server's budget (C7). Near it, partitions that hold more
// than their fair share are paused, and above it all are.
func (s *State) memoryPressure(e MemoryPressure) {
	s.memory = e
	if e.Over {
		for _, p := range s.sorted {
			s.reviewPause(p)
		}
		return
	}
	for _, p := range s.sorted {
		if p.paused {
			s.reviewPause(p)
		}
	}
}

// reviewPause pauses a partition above its fair share, or any if there is no room
// for anybody, and resumes one that is down to half of it or needn't be paused any
// more.
func (s *State) reviewPause(p *partition) {
	switch {
	case p.revoking: // it isn't fetched any more
	case !p.paused && s.memory.Over && (s.memory.Full || p.bytes > s.memory.FairShare):
		p.paused = true
		s.emit(PausePartition{p.TopicPartition})
	case p.paused && (!s.memory.Over || !s.memory.Full && p.bytes <= s.memory.FairShare/2):
		p.paused = false
		s.emit(ResumePartition{p.TopicPartition})
	}
}
