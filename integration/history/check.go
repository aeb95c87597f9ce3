package history

import "time"

// Rules are what a history is checked against.
type Rules struct {
	// AckTimeout is the server's, for streams that ask for none of their own.
	AckTimeout time.Duration
	// PartitionWindow is how many messages of a partition a server may have fetched
	// and not yet made durable, Overshoot the messages of one fetch above it.
	PartitionWindow int
	Overshoot       int
	// Slack is how far apart the two ends of a stream, or two streams, may record
	// what happened at one time: zero in virtual time, seconds otherwise.
	Slack time.Duration
	// Start is where a subscription begins in a partition in which it has no
	// position: missing subscriptions begin at the earliest message.
	StartLatest map[string]bool
	// Settled: the history goes on until the proxy has had the time to settle after
	// Healed, so that whatever isn't done by its end never will be.
	Settled bool
}

// Violation is a guarantee that a history breaks.
type Violation struct {
	// Rule names the guarantee, in a few words with dashes: "two-holders".
	Rule string
	// Problem says what happened, for a person.
	Problem string
	// Events are the shortest part of the history that explains it.
	Events []Entry
}

// Check returns what a history breaks, in the order in which it happens, or nil.
func Check(entries []Entry, rules Rules) []Violation { return nil }
