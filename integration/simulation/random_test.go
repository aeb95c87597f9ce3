//go:build synctests

package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/messageproxy/messageproxy/integration/history"
)

// A plan is known by its number, and by its text.
func TestPlansAreDrawnByNumber(t *testing.T) {
	texts := make(map[string]bool)
	for n := range 50 {
		text := planNumber(n).String()
		assert.Equal(t, text, planNumber(n).String())
		texts[text] = true
		parsed, err := Parse(text)
		require.NoError(t, err)
		assert.Equal(t, text, parsed.String())
	}
	assert.Len(t, texts, 50, "no two are the same")
}

// What doesn't matter is left out: the plan fails if client "culprit" subscribes
// while there are two proxies.
func TestShrinkLeavesWhatMatters(t *testing.T) {
	plan := Plan{
		Proxies: 2, Brokers: 3, Settings: Settings{Window: 7},
		Topics:        []Topic{{Name: "orders", Partitions: 6, Compacted: true}, {Name: "events", Partitions: 1}},
		Subscriptions: []Subscription{{Name: "billing", Topics: []string{"orders", "events"}, Latest: true}},
	}
	for n := range 40 {
		plan.Steps = append(plan.Steps, Step{At: time.Duration(n), Action: Compact{}})
	}
	culprit := Step{At: 17, Action: Consume{Client: "culprit", Subscription: "billing"}}
	plan.Steps = slices.Insert(plan.Steps, 17, culprit)
	violated := []history.Violation{{Rule: "two-holders"}}
	runs := 0
	s := &shrinker{
		smallest: failure{plan: plan, violations: violated}, rules: []string{"two-holders"}, deadline: time.Now().Add(time.Minute),
		run: func(p Plan) Result {
			runs++
			if p.Proxies == 2 && slices.Contains(p.Steps, culprit) && runs%3 == 0 { // now and then
				return Result{Violations: violated}
			}
			return Result{Violations: []history.Violation{{Rule: "of something else"}}}
		},
	}
	smallest := s.shrink().plan
	assert.Equal(t, []Step{culprit}, smallest.Steps)
	assert.Equal(t, Plan{
		Proxies: 2, Brokers: 1,
		Topics:        []Topic{{Name: "orders", Partitions: 1}},
		Subscriptions: []Subscription{{Name: "billing", Topics: []string{"orders"}}},
		Steps:         []Step{culprit},
	}, smallest)
	assert.Len(t, plan.Steps, 41, "the plan itself is as it was")
	assert.True(t, plan.Topics[0].Compacted)
}

// What takes place is counted when its parts come together, and not before.
func TestCoverageOfWhatComesTogether(t *testing.T) {
	p, other := history.Partition{Topic: "orders"}, history.Partition{Topic: "orders", Number: 1}
	message := func(id string, position int64) history.Message { return history.Message{ID: id, Position: position} }
	join := history.Subscribed{Side: history.Server, Stream: "c/1", Server: "p1", Subscription: "billing", Window: 2, Client: "c"}
	end := history.ConsumeEnded{Side: history.Server, Stream: "c/1"}
	drainTold := history.DrainTold{Side: history.Server, Stream: "c/1"}
	deliver := func(stream string, messages ...history.Message) history.Event {
		return history.Delivered{Side: history.Server, Stream: stream, Partition: p, Messages: messages}
	}
	ack := func(ids ...string) history.Event { return history.Acked{Side: history.Server, Stream: "c/1", IDs: ids} }
	revoke := func(of history.Partition, left time.Duration) history.Event {
		return history.Withdrawn{Side: history.Server, Stream: "c/1", Partitions: []history.Partition{of}, TimeLeft: left}
	}
	a, b := message("a", 1), message("b", 2)
	gained := history.Gained{Server: "p1", Subscription: "billing", Partitions: []history.Partition{p}}
	lost := history.Lost{Server: "p1", Subscription: "billing", Partitions: []history.Partition{p}}
	fetch := func(messages ...history.Message) history.Event {
		return history.Fetched{Server: "p1", Subscription: "billing", Partition: p, Messages: messages}
	}
	for _, test := range []struct {
		kind  string
		with  []history.Event
		lacks []history.Event
	}{
		{"revoke with messages in flight", []history.Event{join, deliver("c/1", a), revoke(p, time.Second)}, []history.Event{join, deliver("c/1", a), ack("a"), revoke(p, time.Second)}},
		{"revoke with messages in flight", []history.Event{join, deliver("c/1", a), revoke(p, time.Second)}, []history.Event{join, deliver("c/1", a), revoke(other, time.Second)}},
		{"partition lost with messages in flight", []history.Event{join, deliver("c/1", a), revoke(p, 0)}, []history.Event{join, deliver("c/1", a), revoke(p, time.Second)}},
		{"partition lost with messages in flight", []history.Event{join, deliver("c/1", a), revoke(p, 0)}, []history.Event{join, deliver("c/1", a), revoke(p, time.Second), revoke(p, 0)}},
		{"revoke whose time is up", []history.Event{join, deliver("c/1", a), revoke(p, time.Second), revoke(p, 0)}, []history.Event{join, deliver("c/1", a), revoke(p, time.Second), ack("a"), revoke(p, 0)}},
		{"ACK out of order", []history.Event{join, deliver("c/1", a, b), ack("b")}, []history.Event{join, deliver("c/1", a, b), ack("a", "b")}},
		{"client window full", []history.Event{join, deliver("c/1", a, b)}, []history.Event{join, deliver("c/1", a)}},
		{"redelivery", []history.Event{join, deliver("c/1", a), deliver("c/1", a)}, []history.Event{join, deliver("c/1", a), deliver("c/1", b)}},
		{"client goes with messages in flight", []history.Event{join, deliver("c/1", a), history.ConsumeEnded{Side: history.Server, Stream: "c/1"}}, []history.Event{join, deliver("c/1", a), ack("a"), history.ConsumeEnded{Side: history.Server, Stream: "c/1"}}},
		{"kill with messages in flight", []history.Event{join, deliver("c/1", a), history.Stopped{Server: "p1"}}, []history.Event{join, deliver("c/1", a), history.Draining{Server: "p1"}, history.Stopped{Server: "p1"}}},
		{"drain with messages in flight", []history.Event{join, deliver("c/1", a), history.Draining{Server: "p1"}}, []history.Event{join, deliver("c/1", a), history.Draining{Server: "p2"}}},
		{"partition regained", []history.Event{gained, lost, gained}, []history.Event{gained, lost}},
		{"partition regained that was paused", []history.Event{gained, fetch(a, b), lost, gained}, []history.Event{gained, fetch(a), lost, gained}},
		{"client connects again", []history.Event{join, end, join}, []history.Event{join, end}},
		{"drain waits for ACKs", []history.Event{join, deliver("c/1", a), drainTold}, []history.Event{join, deliver("c/1", a), ack("a"), drainTold}},
		{"partition goes with messages outstanding", []history.Event{join, gained, fetch(a), lost}, []history.Event{join, gained, fetch(a), deliver("c/1", a), ack("a"), lost}},
		{"gap between messages", []history.Event{gained, fetch(a), fetch(message("d", 4))}, []history.Event{gained, fetch(a), fetch(b)}},
		{"messages of a topic created again", []history.Event{join, history.Delivered{Side: history.Server, Stream: "c/1", Partition: history.Partition{Topic: "orders#2"}, Messages: []history.Message{a}}}, []history.Event{join, deliver("c/1", a)}},
	} {
		t.Run(test.kind, func(t *testing.T) {
			assert.Equal(t, 1, countIn(test.with)[test.kind])
			assert.Zero(t, countIn(test.lacks)[test.kind])
		})
	}
}

func countIn(events []history.Event) map[string]int {
	result := Result{}
	for _, e := range events {
		result.History = append(result.History, history.Entry{Event: e})
	}
	return coverage(Plan{Settings: Settings{PartitionWindow: 2}}, result)
}
