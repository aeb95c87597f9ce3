package history

import "time"

// Rules are what a history is checked against.
type Rules struct {
	// AckTimeout is the server's, for streams that ask for none of their own.
	AckTimeout time.Duration
	// EvictionGrace is how long a stream that was thrown out, and doesn't read, may
	// last until its connection is closed. Zero means 10 seconds.
	EvictionGrace time.Duration
	// PartitionWindow is how many messages of a partition a server may have fetched
	// and not yet made durable, Overshoot the messages of one fetch above it.
	// PartitionWindow 0: not checked.
	PartitionWindow int
	Overshoot       int
	// WindowBytes is how many bytes a client may hold, unless it is one message;
	// BufferedBytes is the budget of a server, in which each message counts with 320
	// bytes more. 0: not checked.
	WindowBytes   int
	BufferedBytes int
	// Slack is how far apart the two ends of a stream, or two streams, may record
	// what happened at one time: the network's latency, some times over, in virtual
	// time; seconds otherwise.
	Slack time.Duration
	// StartLatest are the subscriptions that begin at the latest message in a partition
	// in which they have no position. Others begin at the earliest.
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
	// Events are the shortest part of the history that explains it. Those that carry
	// many messages are cut down to the ones that matter.
	Events []Entry

	start time.Time // of the history
	index int       // of the entry at which it showed
}

// Check returns what a history breaks, in the order in which it shows, or nil. Of
// each rule it returns at most maxReported violations, and one for what follows
// from the same mistake.
//
// It needs time and memory proportional to the history, and is safe for
// concurrent use.
func Check(entries []Entry, rules Rules) []Violation {
	if len(entries) == 0 {
		return nil
	}
	if rules.EvictionGrace == 0 {
		rules.EvictionGrace = 10 * time.Second
	}
	c := newChecker(entries, rules)
	for i := range entries {
		c.step(i)
	}
	c.finish()
	return c.sorted()
}

// step takes the next entry.
func (c *checker) step(i int) {
	switch e := c.entries[i].Event.(type) {
	case ProduceOpened, Produced, Answered, ProduceEnded:
		c.stepProduce(i, e)
	case Subscribed:
		c.subscribed(i, e)
	case Delivered:
		c.delivered(i, e)
	case Acked:
		c.acked(i, e)
	case Withdrawn:
		c.withdrawn(i, e)
	case ConsumeEnded:
		c.consumeEnded(i, e)
	case Left:
		if e.Side == Server { // a client knows what it asked for, not when that arrived
			c.streamOf(Server, e.Stream).leftAt = i
		}
	case Sent:
		c.sent(e)
	case ExpiryTold:
		c.streamOf(e.Side, e.Stream).expiryTold = i
	case DrainTold:
		c.streamOf(e.Side, e.Stream).drainTold = i
	case Consuming:
		x := newClient(e, c.subscriptionOf(e.Subscription))
		c.clients[e.Client], c.named[e.Name] = x, x
	case Handling:
		c.handling(i, e)
	case Handled:
		c.handled(i, e)
	default:
		c.stepServer(i)
	}
}

// stepServer takes what servers, the broker and the test did.
func (c *checker) stepServer(i int) {
	switch e := c.entries[i].Event.(type) {
	case Gained:
		c.gained(i, e)
	case Lost:
		c.lost(i, e)
	case Fetched:
		c.fetched(i, e)
	case Stopped:
		c.stopped(i, e)
	case PositionRead:
		c.positionRead(i, e)
	case Expired:
		p := c.partitionOf(e.Partition)
		p.expiries = append(p.expiries, i)
		p.expiredBefore = max(p.expiredBefore, e.Before)
	case Expected:
		c.expected(e)
	case Healed:
		c.healedAt = i
	}
}

// finish draws the conclusions that only the end allows.
func (c *checker) finish() {
	c.finishProduce()
	c.finishLiveness()
	c.checkCalm()
	c.checkBytes()
}
