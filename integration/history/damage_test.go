package history_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/messageproxy/messageproxy/integration/history"
)

func check(entries []history.Entry) []history.Violation {
	return history.Check(entries, history.Rules{Settled: true, PartitionWindow: 100})
}

func TestWhatIsRightIsNotReported(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		require.Empty(t, history.Report(check(drawHistory(t))))
	})
}

// damage breaks a history that is right, in one way, and says how that is to be
// reported: by one of several rules. It answers nothing if there is nothing to break.
type damage func(t *rapid.T, h *damaged) (rules []string)

// damaged is a history about to be damaged.
type damaged struct{ entries []history.Entry }

func TestDamageIsReported(t *testing.T) {
	for _, name := range sortedKeys(damages) {
		t.Run(name, func(t *testing.T) {
			done := 0
			rapid.Check(t, func(t *rapid.T) {
				h := &damaged{drawHistory(t)}
				want := damages[name](t, h)
				if want == nil {
					return
				}
				done++
				violations := check(h.entries)
				found := slices.ContainsFunc(violations, func(v history.Violation) bool { return slices.Contains(want, v.Rule) })
				require.True(t, found, "reported: %s", history.Report(violations))
			})
			require.Positive(t, done, "damaged histories")
		})
	}
}

var damages = map[string]damage{
	"a result is missing": one(every[history.Answered], func(_ *rapid.T, h *damaged, i int, _ history.Answered) []string {
		h.remove(i)
		return []string{"no-result"}
	}),
	"a result comes twice": one(every[history.Answered], func(_ *rapid.T, h *damaged, i int, _ history.Answered) []string {
		h.insert(i+1, h.entries[i].Event)
		return []string{"two-results"}
	}),
	"a stored message is told as failed": one(isStored, func(_ *rapid.T, h *damaged, i int, e history.Answered) []string {
		e.Outcome = history.Failed
		h.entries[i].Event = e
		return []string{"failed-but-stored"}
	}),
	"a receipt is of another place": one(isStored, func(_ *rapid.T, h *damaged, i int, e history.Answered) []string {
		e.Position += 1000
		h.entries[i].Event = e
		return []string{"receipt-wrong"}
	}),
	"a stored message is not in the log": one(isFilled, func(t *rapid.T, h *damaged, i int, e history.Log) []string {
		k := rapid.IntRange(0, len(e.Messages)-1).Draw(t, "message")
		e.Messages = slices.Delete(slices.Clone(e.Messages), k, k+1)
		h.entries[i].Event = e
		return []string{"stored-missing"}
	}),
	"a message is in the log twice": one(isFilled, func(t *rapid.T, h *damaged, i int, e history.Log) []string {
		again := rapid.SampledFrom(e.Messages).Draw(t, "message")
		again.Position, again.ID = e.Messages[len(e.Messages)-1].Position+1, "again"
		e.Messages = append(slices.Clone(e.Messages), again)
		h.entries[i].Event = e
		return []string{"stored-twice"}
	}),
	"an ACK is missing": one(every[history.Acked], func(t *rapid.T, h *damaged, _ int, e history.Acked) []string {
		id := rapid.SampledFrom(e.IDs).Draw(t, "id")
		edit(h, func(e history.Acked) history.Event {
			e.IDs = slices.DeleteFunc(slices.Clone(e.IDs), func(x string) bool { return x == id })
			return e
		})
		return []string{"unacked-below-position"}
	}),
	"only a stranger ACKs": one(every[history.Acked], func(t *rapid.T, h *damaged, i int, e history.Acked) []string {
		id := rapid.SampledFrom(e.IDs).Draw(t, "id")
		edit(h, func(e history.Acked) history.Event {
			e.IDs = slices.DeleteFunc(slices.Clone(e.IDs), func(x string) bool { return x == id })
			return e
		})
		h.insert(i, history.Acked{Side: history.Server, Stream: "stranger", IDs: []string{id}})
		h.insert(0, history.Subscribed{Side: history.Server, Stream: "stranger", Server: "s1", Subscription: "g"})
		return []string{"unacked-below-position"}
	}),
	"the position goes back": one(isAhead, func(t *rapid.T, h *damaged, i int, e history.PositionRead) []string {
		e.Position = rapid.Int64Range(0, e.Position-1).Draw(t, "position")
		h.insert(i+1, e)
		return []string{"position-went-back"}
	}),
	"the position stays behind": one(isAhead, func(_ *rapid.T, h *damaged, _ int, e history.PositionRead) []string {
		p, most := e.Partition, int64(0)
		edit(h, func(e history.Log) history.Event {
			if e.Partition == p {
				most = e.Messages[len(e.Messages)-1].Position
			}
			return e
		})
		edit(h, func(e history.PositionRead) history.Event {
			if e.Partition == p {
				e.Position = min(e.Position, most)
			}
			return e
		})
		return []string{"never-durable"}
	}),
	"two messages are swapped": one(isSeveral, func(t *rapid.T, h *damaged, i int, e history.Delivered) []string {
		e.Messages = slices.Clone(e.Messages)
		k := rapid.IntRange(1, len(e.Messages)-1).Draw(t, "message")
		e.Messages[k-1], e.Messages[k] = e.Messages[k], e.Messages[k-1]
		h.entries[i].Event = e
		return []string{"out-of-order", "skipped", "older-waits"}
	}),
	"a message is left out": one(isSeveral, func(_ *rapid.T, h *damaged, _ int, e history.Delivered) []string {
		id := e.Messages[0].ID
		edit(h, func(e history.Delivered) history.Event {
			e.Messages = slices.DeleteFunc(slices.Clone(e.Messages), func(m history.Message) bool { return m.ID == id })
			return e
		})
		return []string{"skipped", "older-waits"}
	}),
	"a delivery has other content": one(every[history.Delivered], func(_ *rapid.T, h *damaged, i int, e history.Delivered) []string {
		e.Messages = slices.Clone(e.Messages)
		e.Messages[0].Token = "other"
		h.entries[i].Event = e
		return []string{"delivered-wrong"}
	}),
	"another stream gets messages": one(isSeveral, func(_ *rapid.T, h *damaged, i int, e history.Delivered) []string {
		first, rest := e, e
		first.Messages, rest.Messages, rest.Stream = e.Messages[:1], e.Messages[1:], "other"
		h.entries[i].Event = first
		h.later(i + 1) // ends and losses of the same moment may have come before
		h.insert(i+1, rest)
		h.insert(0, history.Subscribed{Side: history.Server, Stream: "other", Server: h.serverOf(e.Stream), Subscription: "g", AckTimeout: modelTimeout})
		return []string{"two-holders"}
	}),
	"a window is smaller": one(isSeveral, func(_ *rapid.T, h *damaged, _ int, e history.Delivered) []string {
		stream := e.Stream
		edit(h, func(e history.Subscribed) history.Event {
			if e.Stream == stream {
				e.Window = 1
			}
			return e
		})
		return []string{"client-window"}
	}),
	"a stream isn't thrown out": one(func(e history.ConsumeEnded) bool { return e.Code == "ACK_TIMEOUT" }, func(_ *rapid.T, h *damaged, i int, _ history.ConsumeEnded) []string {
		if !h.redelivered(i) {
			return nil
		}
		h.remove(i)
		last := h.entries[len(h.entries)-1]
		last.At = last.At.Add(time.Minute)
		h.entries = append(h.entries, last)
		return []string{"two-holders"}
	}),
	"a partition is delivered after its loss": one(func(e history.Withdrawn) bool { return e.TimeLeft == 0 }, func(_ *rapid.T, h *damaged, i int, e history.Withdrawn) []string {
		for k := range slices.Backward(h.entries[:i]) {
			if d, ok := h.entries[k].Event.(history.Delivered); ok && d.Stream == e.Stream && d.Partition == e.Partitions[0] {
				h.later(i + 1) // what is told at the same moment may have been decided after it
				h.insert(i+1, d)
				return []string{"delivered-unowned", "delivered-unfetched"}
			}
		}
		return nil
	}),
	"messages are sent in another order": one(isStored, func(_ *rapid.T, h *damaged, i int, first history.Answered) []string {
		for k := i + 1; k < len(h.entries); k++ {
			next, ok := h.entries[k].Event.(history.Answered)
			if ok && next.Outcome == history.Stored && next.Stream == first.Stream && next.Partition == first.Partition {
				h.swapSent(first.Stream, first.Sequence, next.Sequence)
				return []string{"produced-out-of-order"}
			}
		}
		return nil
	}),
}

// one is damage to one event of a type.
func one[E history.Event](is func(E) bool, do func(t *rapid.T, h *damaged, i int, e E) []string) damage {
	return func(t *rapid.T, h *damaged) []string {
		i := pick(t, h, is)
		if i < 0 {
			return nil
		}
		return do(t, h, i, at[E](h, i))
	}
}

func every[E history.Event](E) bool { return true }

func isStored(e history.Answered) bool { return e.Outcome == history.Stored }

func isSeveral(e history.Delivered) bool { return len(e.Messages) > 1 }

func isFilled(e history.Log) bool { return len(e.Messages) > 0 }

func isAhead(e history.PositionRead) bool { return e.Position > 0 }

// pick draws one of the entries with an event of a type, or -1 if there is none.
func pick[E history.Event](t *rapid.T, h *damaged, is func(E) bool) int {
	var found []int
	for i, e := range h.entries {
		if event, ok := e.Event.(E); ok && is(event) {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return -1
	}
	return rapid.SampledFrom(found).Draw(t, "entry")
}

func at[E history.Event](h *damaged, i int) E { return h.entries[i].Event.(E) }

func (h *damaged) remove(i int) { h.entries = slices.Delete(h.entries, i, i+1) }

// insert inserts an event at the time of the one that it comes before, or after.
func (h *damaged) insert(i int, e history.Event) {
	h.entries = slices.Insert(h.entries, i, history.Entry{At: h.entries[max(i-1, 0)].At, Event: e})
}

// later makes everything from an entry on happen a little later.
func (h *damaged) later(i int) {
	for k := range h.entries[i:] {
		h.entries[i+k].At = h.entries[i+k].At.Add(time.Millisecond)
	}
}

// redelivered reports whether a message that a stream got before an entry is the next
// of its partition to be delivered after it, and the partition isn't lost before.
func (h *damaged) redelivered(i int) bool {
	stream := at[history.ConsumeEnded](h, i).Stream
	var last history.Delivered
	for _, e := range h.entries[:i] {
		if d, ok := e.Event.(history.Delivered); ok && d.Stream == stream {
			last = d
		}
	}
	for _, e := range h.entries[i:] {
		switch e := e.Event.(type) {
		case history.Lost:
			if slices.Contains(e.Partitions, last.Partition) {
				return false
			}
		case history.Delivered:
			if e.Partition == last.Partition {
				return e.Messages[0].ID == last.Messages[len(last.Messages)-1].ID
			}
		}
	}
	return false
}

func (h *damaged) serverOf(stream string) string {
	for _, e := range h.entries {
		if s, ok := e.Event.(history.Subscribed); ok && s.Stream == stream {
			return s.Server
		}
	}
	return ""
}

// swapSent swaps what is said of two messages that were sent, and answered.
func (h *damaged) swapSent(stream string, a, b uint64) {
	var first, second int
	for i, e := range h.entries {
		if s, ok := e.Event.(history.Produced); ok && s.Stream == stream {
			switch s.Sequence {
			case a:
				first = i
			case b:
				second = i
			}
		}
	}
	h.entries[first].Event, h.entries[second].Event = h.entries[second].Event, h.entries[first].Event
	answers := make([]history.Entry, 0, 1)
	h.entries = slices.DeleteFunc(h.entries, func(e history.Entry) bool {
		s, ok := e.Event.(history.Answered)
		if ok && s.Stream == stream && s.Sequence == a {
			answers = append(answers, e)
			return true
		}
		return false
	})
	last := slices.IndexFunc(h.entries, func(e history.Entry) bool {
		s, ok := e.Event.(history.ProduceEnded)
		return ok && s.Stream == stream
	})
	h.insert(last, answers[0].Event)
}

// edit changes every event of a type.
func edit[E history.Event](h *damaged, change func(E) history.Event) {
	for i, e := range h.entries {
		if event, ok := e.Event.(E); ok {
			h.entries[i].Event = change(event)
		}
	}
}
