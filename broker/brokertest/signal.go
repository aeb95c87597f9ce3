package brokertest

import (
	"sync"
	"time"
)

// signal wakes whoever awaits that something changes.
type signal struct{ state *signalState }

type signalState struct {
	mu      sync.Mutex
	changed chan struct{}
}

func newSignal() signal { return signal{&signalState{changed: make(chan struct{})}} }

func (s signal) raise() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	close(s.state.changed)
	s.state.changed = make(chan struct{})
}

func (s signal) wait() <-chan struct{} {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.changed
}

// await returns true when a condition holds, and false if it doesn't in time. The
// condition is looked at whenever the signal is raised.
func (s signal) await(limit time.Duration, condition func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := s.wait()
		if condition() {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return condition()
		}
	}
}

// signalOf returns a wait for a condition on several readers.
func signalOf(readers ...*reader) func(limit time.Duration, condition func() bool) bool {
	any := newSignal()
	return func(limit time.Duration, condition func() bool) bool {
		done := make(chan struct{})
		var relays sync.WaitGroup
		for _, r := range readers {
			relays.Go(func() {
				for {
					changed := r.changed.wait()
					any.raise()
					select {
					case <-changed:
					case <-done:
						return
					}
				}
			})
		}
		defer relays.Wait()
		defer close(done)
		return any.await(limit, condition)
	}
}
