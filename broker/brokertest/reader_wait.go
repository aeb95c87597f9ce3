package brokertest

import (
	"slices"
	"time"

	"github.com/messageproxy/messageproxy/broker"
)

// await fails the check if a condition doesn't hold in time. The condition is
// called with r.mu held.
func (r *reader) await(what string, condition func() bool) {
	r.e.Helper()
	r.awaitWithin(r.e.h.Patience, what, condition)
}

func (r *reader) awaitWithin(limit time.Duration, what string, condition func() bool) {
	r.e.Helper()
	locked := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return condition()
	}
	if !r.changed.await(limit, locked) {
		r.mu.Lock()
		story := r.storyLocked()
		r.mu.Unlock()
		r.e.Fatalf("%v passed without %s; polled:%s", limit, what, story)
	}
}

// awaitMessages waits for the n-th message and returns all that came.
func (r *reader) awaitMessages(n int) []received {
	r.e.Helper()
	r.await("enough messages", func() bool { return len(r.messages) >= n })
	return r.all()
}

// awaitMore waits for n messages after those at hand, and returns these.
func (r *reader) awaitMore(atHand, n int) []received {
	r.e.Helper()
	return r.awaitMessages(atHand + n)[atHand:]
}

// all returns all messages so far.
func (r *reader) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// awaitAssigned waits until the consumer has n partitions that stay.
func (r *reader) awaitAssigned(n int) {
	r.e.Helper()
	r.await("the assignment", func() bool { return len(r.keptLocked()) == n })
}

// kept returns the partitions that the consumer has and that aren't being revoked.
func (r *reader) kept() []broker.TopicPartition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keptLocked()
}

func (r *reader) keptLocked() []broker.TopicPartition {
	var kept []broker.TopicPartition
	for tp, h := range r.held {
		if !h.revoking {
			kept = append(kept, tp)
		}
	}
	return kept
}

// awaitRevoking waits for a handover and returns the partitions, the time left,
// and when that was said.
func (r *reader) awaitRevoking() (partitions []broker.TopicPartition, left time.Duration, at time.Time) {
	r.e.Helper()
	r.await("EventRevoking", func() bool {
		for _, m := range r.history {
			if revoking, ok := m.event.(broker.EventRevoking); ok {
				partitions, left, at = revoking.Partitions, revoking.TimeLeft, m.at
				return true
			}
		}
		return false
	})
	return partitions, left, at
}

// awaitLost waits until the partitions are gone and returns when the last was.
func (r *reader) awaitLost(partitions ...broker.TopicPartition) (at time.Time) {
	r.e.Helper()
	r.await("EventLost", func() bool {
		missing := slices.Clone(partitions)
		for _, m := range r.history {
			lost, ok := m.event.(broker.EventLost)
			if !ok {
				continue
			}
			missing = slices.DeleteFunc(missing, func(tp broker.TopicPartition) bool {
				return slices.Contains(lost.Partitions, tp)
			})
			at = m.at
			if len(missing) == 0 {
				return true
			}
		}
		return false
	})
	return at
}

// mark is a point in what a reader was told: what comes later is after it.
type mark int

// now returns the mark behind everything so far.
func (r *reader) now() mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return mark(len(r.history))
}

// awaitEvent waits for an event of a type after a mark, and returns the mark
// behind it.
func awaitEvent[E broker.Event](r *reader, limit time.Duration, since mark) (event E, behind mark) {
	r.e.Helper()
	r.awaitWithin(limit, describe(event), func() bool {
		for i := int(since); i < len(r.history); i++ {
			if e, ok := r.history[i].event.(E); ok {
				event, behind = e, mark(i+1)
				return true
			}
		}
		return false
	})
	return event, behind
}

// countEvents returns how many events of a type came.
func countEvents[E broker.Event](r *reader) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.history {
		if _, ok := m.event.(E); ok {
			n++
		}
	}
	return n
}

// awaitFailedPoll waits for a poll that fails after a mark, and returns the mark
// behind it and its error.
func (r *reader) awaitFailedPoll(limit time.Duration, since mark) (behind mark, failure error) {
	r.e.Helper()
	r.awaitWithin(limit, "a poll that fails", func() bool {
		for i := int(since); i < len(r.history); i++ {
			if r.history[i].err != nil {
				behind, failure = mark(i+1), r.history[i].err
				return true
			}
		}
		return false
	})
	return behind, failure
}

// awaitGoodPoll waits for a poll that succeeds after a mark.
func (r *reader) awaitGoodPoll(limit time.Duration, since mark) {
	r.e.Helper()
	r.awaitWithin(limit, "a poll that succeeds", func() bool {
		return slices.ContainsFunc(r.history[since:], func(m moment) bool { return m.event == nil && m.err == nil })
	})
}

// ack ACKs messages.
func (r *reader) ack(messages ...received) {
	ids := make([]broker.MessageID, 0, len(messages))
	for _, m := range messages {
		ids = append(ids, m.messageID())
	}
	r.Ack(ids...)
}

// leave closes the consumer, which has to succeed.
func (r *reader) leave() {
	r.e.Helper()
	ctx, cancel := r.e.patience()
	defer cancel()
	if err := r.Close(ctx); err != nil {
		r.e.Fatalf("Consumer.Close: %v", err)
	}
}

// of returns the messages of some partitions.
func of(messages []received, partitions ...broker.TopicPartition) []received {
	var result []received
	for _, m := range messages {
		if slices.Contains(partitions, m.partition) {
			result = append(result, m)
		}
	}
	return result
}

// values returns the values of messages, as text.
func values(messages []received) []string {
	result := make([]string, 0, len(messages))
	for _, m := range messages {
		result = append(result, string(m.Value))
	}
	return result
}

// storedValues returns the values of stored messages, as text.
func storedValues(messages []stored) []string {
	result := make([]string, 0, len(messages))
	for _, m := range messages {
		result = append(result, string(m.Value))
	}
	return result
}
