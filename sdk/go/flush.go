package messageproxy

import "context"

// flushGroup counts the unanswered messages that were taken over between two
// calls of Flush. Guarded by the producer's mu.
type flushGroup struct {
	unanswered int
	done       chan struct{} // closed when the group is sealed and all are answered
}

// flushGroups are the groups that Flush waits for: all of them, up to the one
// that its call seals.
type flushGroups struct {
	current *flushGroup
	sealed  map[*flushGroup]struct{}
}

func newFlushGroups() flushGroups {
	return flushGroups{current: newFlushGroup(), sealed: map[*flushGroup]struct{}{}}
}

func newFlushGroup() *flushGroup { return &flushGroup{done: make(chan struct{})} }

func (g *flushGroups) join(m *pending) {
	m.group = g.current
	m.group.unanswered++
}

func (g *flushGroups) leave(m *pending) {
	m.group.unanswered--
	if _, sealed := g.sealed[m.group]; sealed && m.group.unanswered == 0 {
		delete(g.sealed, m.group)
		close(m.group.done)
	}
}

// seal ends the current group and returns all that still have messages.
func (g *flushGroups) seal() []*flushGroup {
	if g.current.unanswered > 0 {
		g.sealed[g.current] = struct{}{}
		g.current = newFlushGroup()
	}
	groups := make([]*flushGroup, 0, len(g.sealed))
	for group := range g.sealed {
		groups = append(groups, group)
	}
	return groups
}

// flush waits until everything that was taken over before is answered, callbacks
// included.
func (p *producer) flush(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	groups := p.flushes.seal()
	p.mu.Unlock()
	for _, group := range groups {
		select {
		case <-group.done:
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
	return nil
}
