package consume

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"

	messageproxyv1 "github.com/messageproxy/messageproxy/api/messageproxy/v1"
	"github.com/messageproxy/messageproxy/broker"
	"github.com/messageproxy/messageproxy/server/internal/coordinator"
	"github.com/messageproxy/messageproxy/server/internal/wire"
)

// A panic costs the subscription that it happens in, and nothing else. In the loop,
// the state is lost: every stream ends, the consumer is closed, and the loop goes on
// with a new state, as if the server had been restarted for this subscription alone.
// In the session, it is an error of the consumer's that trying again won't help.

// logPanic logs what recover has returned.
func logPanic(log *slog.Logger, what string, value any) {
	log.Error(what+": please report this", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// turnGuarded is turn, and reports whether it has panicked.
func (sub *subscription) turnGuarded() (panicked bool) {
	defer func() {
		if value := recover(); value != nil {
			panicked = true
			logPanic(sub.log, "the subscription failed and begins anew", value)
		}
	}()
	sub.turn()
	return false
}

// beginAnew ends every stream, closes the consumer, and makes a new state. Who joins
// meanwhile waits, as with any consumer that closes (C8).
func (sub *subscription) beginAnew() {
	err := wire.NewError(messageproxyv1.ErrorCode_ERROR_CODE_INTERNAL, true,
		"the server failed at serving subscription %q, and its log says why: subscribe again; what was not ACKed, "+
			"or ACKed in the last seconds, comes again", sub.name)
	events := sub.unfinished()
	for _, c := range sub.clients {
		c.end(err)
	}
	clear(sub.clients)
	if sub.cancel != nil {
		sub.closeConsumer()
	}
	if sub.sessionOver != nil {
		<-sub.sessionOver // bounded, as is all that a session does once it is cancelled
	}
	events, posted := withoutSession(append(events, sub.mailbox.take(nil)...))
	sub.account.set(0, 0, sub.posted+posted)
	sub.state, sub.posted, sub.pressure = sub.newState(), 0, coordinator.MemoryPressure{}
	sub.mailbox.putBack(append(slices.Clone(sub.drains), events...))
}

// unfinished is what the last turn has not got to. The event at which it panicked
// goes no further.
func (sub *subscription) unfinished() []coordinator.Event {
	events := sub.events[sub.next:]
	sub.events, sub.next, sub.spare = nil, 0, nil
	if len(events) == 0 {
		return nil
	}
	if e, ok := events[0].(acked); ok {
		e.client.returnCredit()
	}
	return events[1:]
}

// withoutSession leaves out what a session has told that is over, and returns how many
// bytes it has booked for that.
func withoutSession(events []coordinator.Event) (kept []coordinator.Event, posted int64) {
	for _, event := range events {
		switch e := event.(type) {
		case polled:
			posted += e.bytes
		case opened, coordinator.OpenFailed, coordinator.PollFailed, coordinator.PollRecovered, coordinator.Closed:
		default:
			kept = append(kept, event)
		}
	}
	return kept, posted
}

// panicked turns the panic of a call of the broker's into its error, which trying
// again won't help.
func (sub *subscription) panicked(call string, err *error) {
	value := recover()
	if value == nil {
		return
	}
	logPanic(sub.log, call+" of the broker panicked", value)
	*err = &broker.Error{
		Code: broker.CodeInternal, Partition: broker.AnyPartition,
		Message: call + " failed in a way that nobody expected; the server's log says how",
	}
}

func (sub *subscription) newConsumer(ctx context.Context, opts broker.ConsumerOptions) (consumer broker.Consumer, err error) {
	defer sub.panicked("NewConsumer", &err)
	return sub.service.broker.NewConsumer(ctx, opts)
}

func (sub *subscription) pollMessages(ctx context.Context, consumer broker.Consumer) (events broker.Events, err error) {
	defer sub.panicked("PollMessages", &err)
	return consumer.PollMessages(ctx)
}

func (sub *subscription) close(ctx context.Context, consumer broker.Consumer) (err error) {
	defer sub.panicked("Close", &err)
	return consumer.Close(ctx)
}
