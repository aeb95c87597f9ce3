package kafka

import (
	"context"
	"sync"
)

// gate lets either the pump or one change of the assignment go on, not both. The
// comment on consumer says why.
type gate struct {
	pass chan struct{} // has an element while somebody is inside

	mu        sync.Mutex
	waiting   int                // changes that wait or are inside
	interrupt context.CancelFunc // ends the pump's poll; nil while it isn't inside
}

func newGate() gate { return gate{pass: make(chan struct{}, 1)} }

// enter lets the pump in. It polls with the context returned, which ends when a
// change wants to go on, and calls leave when it is done with what it got.
func (g *gate) enter(parent context.Context) (ctx context.Context, leave func()) {
	g.pass <- struct{}{}
	ctx, cancel := context.WithCancel(parent)
	g.mu.Lock()
	g.interrupt = cancel
	if g.waiting > 0 {
		cancel()
	}
	g.mu.Unlock()
	return ctx, func() {
		g.mu.Lock()
		g.interrupt = nil
		g.mu.Unlock()
		cancel()
		<-g.pass
	}
}

// exclude returns when the pump is outside, which stays there until done is
// called. Channels serve in order, so the pump can't slip in before.
func (g *gate) exclude() (done func()) {
	g.mu.Lock()
	g.waiting++
	if g.interrupt != nil {
		g.interrupt()
	}
	g.mu.Unlock()
	g.pass <- struct{}{}
	return func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
		<-g.pass
	}
}
