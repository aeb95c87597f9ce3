package driver

import (
	"fmt"
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/sdk/conformance/internal/await"
	"github.com/messageproxy/messageproxy/sdk/conformance/protocol"
)

// Consume is a call of consume.
type Consume struct {
	*Call
	call *Call // the same, for the process
	auto bool

	// Guarded by the process's state.
	events    []protocol.Event
	handlings []*Handling
	// How many of them were taken.
	eventsTaken, handlingsTaken int
}

// Event waits for the next event, which must be of a kind.
func (c *Consume) Event(kind string) protocol.Event {
	c.session.t.Helper()
	return c.EventWithin(await.Patience, kind)
}

// EventWithin is Event with a deadline.
func (c *Consume) EventWithin(within time.Duration, kind string) protocol.Event {
	t, state := c.session.t, &c.session.process.state
	t.Helper()
	state.WaitWithin(t, within,
		func() string { return fmt.Sprintf("the event %q; those so far were %s", kind, kinds(c.events)) },
		func() bool { return len(c.events) > c.eventsTaken })
	var e protocol.Event
	state.Update(func() {
		e = c.events[c.eventsTaken]
		c.eventsTaken++
	})
	if e.Kind != kind {
		c.session.fatalf("the event is %q, not %q", e.Kind, kind)
	}
	return e
}

// AwaitEvents waits until so many events of a kind have come, whatever others have.
func (c *Consume) AwaitEvents(kind string, n int) {
	t, state := c.session.t, &c.session.process.state
	t.Helper()
	state.Wait(t,
		func() string {
			return fmt.Sprintf("the event %q, %d times; those so far were %s", kind, n, kinds(c.events))
		},
		func() bool {
			found := 0
			for _, e := range c.events {
				if e.Kind == kind {
					found++
				}
			}
			return found >= n
		})
}

func kinds(events []protocol.Event) string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.Kind
	}
	return fmt.Sprint(all)
}

// Events are all so far.
func (c *Consume) Events() []protocol.Event {
	var all []protocol.Event
	c.session.process.state.Look(func() { all = slices.Clone(c.events) })
	return all
}

// Handling waits for the next handler to begin.
func (c *Consume) Handling() *Handling {
	c.session.t.Helper()
	return c.HandlingWithin(await.Patience)
}

// HandlingWithin is Handling with a deadline.
func (c *Consume) HandlingWithin(within time.Duration) *Handling {
	t, state := c.session.t, &c.session.process.state
	t.Helper()
	state.WaitWithin(t, within,
		func() string {
			return fmt.Sprintf("handler %d to begin; the call was answered: %t", c.handlingsTaken+1, c.answer != nil)
		},
		func() bool { return len(c.handlings) > c.handlingsTaken })
	var h *Handling
	state.Update(func() {
		h = c.handlings[c.handlingsTaken]
		c.handlingsTaken++
	})
	return h
}

// HandlingOf waits for the next handler to begin, which must be that of the message with
// an id.
func (c *Consume) HandlingOf(id string) *Handling {
	c.session.t.Helper()
	h := c.Handling()
	if h.Message.ID != id {
		c.session.fatalf("the handler of %q has begun, not that of %q", h.Message.ID, id)
	}
	return h
}

// Handlings waits for so many handlers to begin, in any order, and returns them by the ids
// of their messages.
func (c *Consume) Handlings(n int) map[string]*Handling {
	c.session.t.Helper()
	all := map[string]*Handling{}
	for range n {
		h := c.Handling()
		if all[h.Message.ID] != nil {
			c.session.fatalf("two handlers of %q have begun", h.Message.ID)
		}
		all[h.Message.ID] = h
	}
	return all
}

// Waiting are the ids of the messages whose handlers have begun and were not yet taken.
func (c *Consume) Waiting() []string {
	ids := []string{}
	c.session.process.state.Look(func() {
		for _, h := range c.handlings[c.handlingsTaken:] {
			ids = append(ids, h.Message.ID)
		}
	})
	return ids
}

// Handling is a call of a handler, or of a failure handler.
type Handling struct {
	Message protocol.Message
	// Failure is the handler's error, for a failure handler; else nil.
	Failure *string
	// Began is when the driver's word of it came.
	Began time.Time

	number  int
	consume *Consume

	// Guarded by the process's state.
	returned  bool
	cancelled time.Time
}

// OK has the handler return with success.
func (h *Handling) OK() { h.finish("ok", "") }

// Fail has the handler return with an error.
func (h *Handling) Fail(text string) { h.finish("fail", text) }

// Panic has the handler panic, or whatever its language has.
func (h *Handling) Panic(text string) { h.finish("panic", text) }

// Change has the handler change the message's id, and return with success.
func (h *Handling) Change() { h.finish("change", "") }

func (h *Handling) finish(how, text string) {
	s := h.consume.session
	s.t.Helper()
	s.process.state.Update(func() { h.returned = true })
	s.call("return", nil, func(id int) any {
		return protocol.Return{ID: id, Op: "return", Handling: h.number, How: how, Text: text}
	}).OK()
}

// AwaitCancelled waits until the handler was told to end, and returns when that was.
func (h *Handling) AwaitCancelled() time.Time {
	s := h.consume.session
	s.t.Helper()
	s.process.state.Wait(s.t,
		func() string { return fmt.Sprintf("the handler of %q to be told to end", h.Message.ID) },
		func() bool { return !h.cancelled.IsZero() })
	var at time.Time
	s.process.state.Look(func() { at = h.cancelled })
	return at
}

// Cancelled reports whether the handler was told to end.
func (h *Handling) Cancelled() bool {
	told := false
	h.consume.session.process.state.Look(func() { told = !h.cancelled.IsZero() })
	return told
}
