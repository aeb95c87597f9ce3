package kafka

import (
	"context"
	"time"
)

// deadlines makes the contexts that end messages' stay in the client library,
// whose own timeout won't do: it counts from the messages' timestamps. All
// messages of a moment share a context, and so one timer; moments are short
// against the timeout.
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

var alreadyOver = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done is what the client library asks, of the first message of a partition,
// before it sends and whenever it looks at trouble: if that is over, it fails
// every message of the partition. The library is set up to do so even if it can't
// tell whether brokers have them (AllowIdempotentProduceCancellation): the ledger
// can, and as long as it has any doubt the answer is no.
//
// The answer is no too, instead of a channel that will be closed in time, while
// there is time left. With such a channel the library would cut the connection at
// the deadline, and lose the answers to others' messages.
func (o *outgoing) Done() <-chan struct{} {
	if !o.inLibrary.Load() {
		return o.Context.Done()
	}
	if o.Context.Err() == nil {
		return nil
	}
	st := o.info.session.ledger.standing(o.info.id, o.record.Topic, o.partition, o.since)
	if st.open || st.sent && st.doubtful {
		return nil
	}
	return alreadyOver
}
