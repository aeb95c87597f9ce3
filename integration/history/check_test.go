package history_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	. "github.com/messageproxy/messageproxy/integration/history"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func p0() Partition { return Partition{Topic: "t", Number: 0} }

func msg(pos int64) Message {
	return Message{ID: fmt.Sprintf("id%d", pos), Position: pos, Token: fmt.Sprintf("m%d", pos)}
}

func msgs(from, to int64) (out []Message) {
	for p := from; p <= to; p++ {
		out = append(out, msg(p))
	}
	return out
}

func ids(from, to int64) (out []string) {
	for _, m := range msgs(from, to) {
		out = append(out, m.ID)
	}
	return out
}

func run(rules Rules, events ...Event) []string {
	var entries []Entry
	now := start
	for _, e := range events {
		now = now.Add(time.Second)
		entries = append(entries, Entry{now, e})
	}
	var rulesBroken []string
	for _, v := range Check(entries, rules) {
		rulesBroken = append(rulesBroken, v.Rule)
		fmt.Println(v)
	}
	return rulesBroken
}

func TestFirst(t *testing.T) {
	sub := func(s string) Event {
		return Subscribed{Side: Server, Stream: s, Server: "s", Subscription: "g", Window: 10, AckTimeout: time.Minute}
	}
	got := func(s string, from, to int64) Event {
		return Delivered{Side: Server, Stream: s, Partition: p0(), Messages: msgs(from, to)}
	}
	ack := func(s string, from, to int64) Event {
		return Acked{Side: Server, Stream: s, IDs: ids(from, to)}
	}
	gained := Gained{Server: "s", Subscription: "g", Partitions: []Partition{p0()}}
	lost := Lost{Server: "s", Subscription: "g", Partitions: []Partition{p0()}}
	end := func(s, code string) Event { return ConsumeEnded{Side: Server, Stream: s, Code: code} }
	log := Log{Partition: p0(), Messages: msgs(0, 9)}
	at := func(n int64) Event { return PositionRead{Subscription: "g", Partition: p0(), Position: n} }
	ok := func(events ...Event) { t.Helper(); assert.Empty(t, run(Rules{}, append(events, log)...)) }
	bad := func(rule string, events ...Event) {
		t.Helper()
		assert.Equal(t, []string{rule}, run(Rules{}, append(events, log)...))
	}
	ok(sub("a"), gained, got("a", 0, 3), ack("a", 0, 3), at(4), got("a", 4, 9))
	bad("two-holders", sub("a"), sub("b"), gained, got("a", 0, 3), got("b", 4, 5))
	ok(sub("a"), sub("b"), gained, got("a", 0, 3), ack("a", 1, 1), end("a", ""), got("b", 0, 0), got("b", 2, 9))
	bad("older-waits", sub("a"), sub("b"), gained, got("a", 0, 3), ack("a", 1, 1), end("a", ""), got("b", 2, 9))
	bad("skipped", sub("a"), gained, got("a", 0, 3), got("a", 5, 5))
	bad("skipped", sub("a"), gained, got("a", 1, 3))
	bad("skipped", sub("a"), gained, got("a", 0, 3), lost, gained, got("a", 1, 3))
	ok(sub("a"), gained, got("a", 0, 3), lost, gained, got("a", 0, 3))
	bad("unacked-below-position", sub("a"), gained, got("a", 0, 3), ack("a", 1, 3), at(2))
	bad("position-went-back", sub("a"), gained, got("a", 0, 3), ack("a", 0, 3), at(2), at(1))
	bad("out-of-order", sub("a"), gained, got("a", 0, 3), got("a", 2, 2))
}
