// Package await has what waits for something that must come: on a signal, with a
// deadline, and with an error that says what didn't come.
package await

import (
	"context"
	"sync"
	"time"
)

// Patience is how long to wait for what must come. It is long, so that a slow machine
// fails nothing; what is there comes at once. Tests in which something never comes
// shorten it.
var Patience = 20 * time.Second

// T is a scenario or a test that can fail. FailNow ends its goroutine.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Context() context.Context
}

// State guards a state of several goroutines, and tells when it has changed. The zero
// value is ready to use.
type State struct {
	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, at each change; nil if nobody waits
}

// Update changes the state and wakes everybody who waits.
func (s *State) Update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Look has a look at the state, and must not change it.
func (s *State) Look(look func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look()
}

// Until waits until condition, which is called with the state guarded, is true. It
// returns the cause of ctx's end if that comes first.
func (s *State) Until(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		if condition() {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Wait is Until for what must come within Patience: otherwise t fails. what says what
// was waited for, and how far it came; it is called with the state guarded.
func (s *State) Wait(t T, what func() string, condition func() bool) {
	t.Helper()
	s.WaitWithin(t, Patience, what, condition)
}

// WaitWithin is Wait with another deadline.
func (s *State) WaitWithin(t T, within time.Duration, what func() string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	if err := s.Until(ctx, condition); err != nil {
		text := ""
		s.Look(func() { text = what() })
		t.Errorf("waited %v in vain for %s", time.Since(began).Round(time.Millisecond), text)
		t.FailNow()
	}
}
