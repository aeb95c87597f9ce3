package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/messageproxy/messageproxy/broker"
)

// reader polls a consumer from a goroutine of its own and keeps what it was told.
// It checks, of every check's every event, what the contract says of all events.
type reader struct {
	broker.Consumer
	e       *env
	opts    broker.ConsumerOptions
	changed signal
	stop    context.CancelFunc
	stopped chan struct{}

	// mu guards what follows.
	mu       sync.Mutex
	history  []moment
	messages []received
	held     map[broker.TopicPartition]*holding
	troubled bool // by ACK trouble
}

// moment is one thing that a poll returned.
type moment struct {
	event broker.Event // nil: an error, or the return of a poll without one
	err   error
	at    time.Time
}

// received is a message and where it is from.
type received struct {
	broker.Message
	partition broker.TopicPartition
}

func (r received) messageID() broker.MessageID {
	return broker.MessageID{Partition: r.partition, Position: r.Position}
}

// holding is a partition that the consumer has.
type holding struct {
	revoking bool
	messages int
	position uint64 // of the last message
}

// join opens a consumer and a reader for it, which is closed after the check.
func (e *env) join(opts broker.ConsumerOptions) *reader {
	e.Helper()
	return e.joinThrough(e.Broker, opts)
}

// joinAnother is join, as if from another process.
func (e *env) joinAnother(opts broker.ConsumerOptions) *reader {
	e.Helper()
	return e.joinThrough(e.Another, opts)
}

func (e *env) joinThrough(b broker.Broker, opts broker.ConsumerOptions) *reader {
	e.Helper()
	r := e.joinSilently(b, opts)
	r.start()
	return r
}

// joinSilently opens a consumer that nobody polls.
func (e *env) joinSilently(b broker.Broker, opts broker.ConsumerOptions) *reader {
	e.Helper()
	ctx, cancel := e.patience()
	defer cancel() // what it bounds is the call alone
	c, err := b.NewConsumer(ctx, opts)
	if err != nil {
		e.Fatalf("NewConsumer: %v", err)
	}
	e.closeAfter(c)
	r := newReader(e, c, opts)
	e.Cleanup(func() { r.stop() })
	return r
}

func newReader(e *env, c broker.Consumer, opts broker.ConsumerOptions) *reader {
	return &reader{
		Consumer: c, e: e, opts: opts, changed: newSignal(),
		stop: func() {}, stopped: make(chan struct{}),
		held: map[broker.TopicPartition]*holding{},
	}
}

// start begins to poll.
func (r *reader) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = func() {
		cancel()
		<-r.stopped
	}
	go r.poll(ctx)
}

func (r *reader) poll(ctx context.Context) {
	defer close(r.stopped)
	for {
		events, err := r.PollMessages(ctx)
		if ctx.Err() != nil || errors.Is(err, broker.ErrClosed) {
			return
		}
		r.note(events, err)
		if err != nil && !broker.IsRetryable(err) {
			return
		}
	}
}

func (r *reader) note(events broker.Events, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, event := range events {
		if problem := r.apply(event); problem != "" {
			r.e.Errorf("the event %s: %s\nafter%s", describe(event), problem, r.storyLocked())
		}
		r.history = append(r.history, moment{event: event, at: now})
	}
	if err != nil {
		r.e.checkError("PollMessages", err)
	}
	r.history = append(r.history, moment{err: err, at: now})
	r.changed.raise()
}

// apply checks an event against what came before it.
func (r *reader) apply(event broker.Event) (problem string) {
	switch event := event.(type) {
	case broker.EventAssigned:
		return r.applyToAll(event.Partitions, r.applyAssigned)
	case broker.EventMessages:
		return r.applyMessages(event)
	case broker.EventRevoking:
		if event.TimeLeft < 0 {
			return "TimeLeft is negative"
		}
		return r.applyToAll(event.Partitions, r.applyRevoking)
	case broker.EventLost:
		return r.applyToAll(event.Partitions, r.applyLost)
	case broker.EventExpired:
		if r.held[event.Partition] == nil {
			return "it is of a partition that isn't assigned"
		}
	case broker.EventAckTrouble:
		r.troubled = true
		r.e.checkError("EventAckTrouble", event.Err)
	case broker.EventAckRecovered:
		if !r.troubled {
			return "there was no trouble"
		}
		r.troubled = false
	default:
		return "the contract has no such event"
	}
	return ""
}

func (r *reader) applyToAll(partitions []broker.TopicPartition, apply func(broker.TopicPartition) string) string {
	if len(partitions) == 0 {
		return "it names no partition"
	}
	for _, tp := range partitions {
		if problem := apply(tp); problem != "" {
			return fmt.Sprintf("%s: %s", tp, problem)
		}
	}
	return ""
}

func (r *reader) applyAssigned(tp broker.TopicPartition) string {
	if r.held[tp] != nil {
		return "it was assigned before"
	}
	if !slices.Contains(r.opts.Topics, tp.Topic) {
		return "the consumer doesn't read this topic"
	}
	r.held[tp] = &holding{}
	return ""
}

func (r *reader) applyRevoking(tp broker.TopicPartition) string {
	h := r.held[tp]
	if h == nil || h.revoking {
		return "it isn't assigned, or is being revoked already"
	}
	h.revoking = true
	return ""
}

func (r *reader) applyLost(tp broker.TopicPartition) string {
	if r.held[tp] == nil {
		return "it isn't assigned"
	}
	delete(r.held, tp)
	return ""
}

func (r *reader) applyMessages(event broker.EventMessages) string {
	h := r.held[event.Partition]
	if h == nil {
		return "the partition isn't assigned"
	}
	if h.revoking {
		return "the partition is being revoked"
	}
	if len(event.Messages) == 0 {
		return "there is no message"
	}
	for _, m := range event.Messages {
		if h.messages > 0 && m.Position <= h.position {
			return fmt.Sprintf("position %d comes after %d", m.Position, h.position)
		}
		if m.ID == "" || len(m.ID) > 512 || !utf8.ValidString(m.ID) {
			return fmt.Sprintf("the ID %q is empty, longer than 512 bytes or not UTF-8", m.ID)
		}
		if id, ok := r.ResolveID(m.ID); !ok || id != (broker.MessageID{Partition: event.Partition, Position: m.Position}) {
			return fmt.Sprintf("the ID %q resolves to %v, %v", m.ID, id, ok)
		}
		h.messages++
		h.position = m.Position
		r.messages = append(r.messages, received{m, event.Partition})
	}
	return ""
}

// storyLocked tells what was polled, for a person.
func (r *reader) storyLocked() string {
	var b strings.Builder
	for _, m := range r.history[max(0, len(r.history)-30):] {
		if m.event != nil || m.err != nil {
			fmt.Fprintf(&b, "\n\t%s %s", m.at.Format("05.000"), describe(m.event))
		}
		if m.err != nil {
			fmt.Fprintf(&b, "error: %v", m.err)
		}
	}
	if b.Len() == 0 {
		return " nothing"
	}
	return b.String()
}

func describe(event broker.Event) string {
	switch event := event.(type) {
	case nil:
		return ""
	case broker.EventMessages:
		return fmt.Sprintf("%d messages of %s", len(event.Messages), event.Partition)
	}
	return fmt.Sprintf("%T%+v", event, event)
}
