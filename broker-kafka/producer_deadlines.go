package kafka

import (
	"context"
	"time"
)

// deadlines makes the contexts that end messages' stay in the client library. The
// library gives a partition's messages up when the context of the first of them
// has ended and it knows none of them to be on the way; its own timeout won't do,
// as it counts from the messages' timestamps. All messages of a moment share a
// context, and so one timer; moments are short against the timeout.
type deadlines struct {
	parent  context.Context
	timeout time.Duration
	moment  time.Duration

	current context.Context
	until   time.Time // when current's moment is over
}

func newDeadlines(parent context.Context, timeout time.Duration) *deadlines {
	const parts, longest = 64, time.Second
	return &deadlines{parent: parent, timeout: timeout, moment: min(timeout/parts, longest)}
}

// contextLocked returns a context that ends when the timeout has passed since
// now, or up to a moment later.
func (d *deadlines) contextLocked(now time.Time) context.Context {
	if d.current == nil || !now.Before(d.until) {
		ctx, cancel := context.WithCancel(d.parent)
		timer := time.AfterFunc(d.moment+d.timeout, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
		d.current, d.until = ctx, now.Add(d.moment)
	}
	return d.current
}
