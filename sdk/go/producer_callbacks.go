package messageproxy

import "context"

// runCallbacks calls the callbacks of ProduceAsync, one after another, until the
// producer is closed and none is due.
func (p *producer) runCallbacks() {
	var batch []*pending
	for {
		p.mu.Lock()
		batch, p.callbacks = p.callbacks, batch[:0]
		finished := len(batch) == 0 && p.closed // close has answered everything
		p.mu.Unlock()
		if finished {
			return
		}
		if len(batch) == 0 {
			<-p.callbackWake
			continue
		}
		for i, m := range batch {
			m.callback(m.receipt, m.err)
			p.mu.Lock()
			p.toldLocked(m)
			p.mu.Unlock()
			batch[i] = nil
		}
	}
}

// watch waits for the end of one context on behalf of all asynchronous messages
// that have it.
type watch struct {
	messages int
	stop     func() bool
}

// watchLocked has m abandoned when its context ends. Messages of Produce need
// none: their callers wait themselves.
func (p *producer) watchLocked(m *pending) {
	done := m.ctx.Done()
	if m.callback == nil || done == nil {
		return
	}
	w := p.watches[done]
	if w == nil {
		w = &watch{stop: context.AfterFunc(m.ctx, func() { p.expire(done) })}
		p.watches[done] = w
	}
	w.messages++
}

func (p *producer) unwatchLocked(m *pending) {
	done := m.ctx.Done()
	if m.callback == nil || done == nil {
		return
	}
	w := p.watches[done]
	if w.messages--; w.messages == 0 {
		w.stop()
		delete(p.watches, done)
	}
}

// expire abandons the messages whose context has ended.
func (p *producer) expire(done <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := p.queue.first; m != nil; {
		next := m.next
		if m.callback != nil && m.ctx.Done() == done {
			p.abandonLocked(m)
		}
		m = next
	}
	if p.stream == nil {
		return
	}
	for _, m := range p.stream.unanswered.all() {
		if m.callback != nil && m.ctx.Done() == done {
			p.abandonLocked(m)
		}
	}
}
