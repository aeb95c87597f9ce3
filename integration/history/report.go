package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// String prints a violation, with one line for each event that explains it, at its
// time since the beginning of the history.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Rule, v.Problem)
	for _, e := range v.Events {
		fmt.Fprintf(&b, "\n  %12s  %s", sinceStart(e.At.Sub(v.start)), describe(e.Event))
	}
	return b.String()
}

// Report prints violations, or returns "" if there are none.
func Report(violations []Violation) string {
	var b strings.Builder
	for i, v := range violations {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(v.String())
	}
	return b.String()
}

func sinceStart(d time.Duration) string { return fmt.Sprintf("%+.3fs", d.Seconds()) }

// describe prints an event on one line.
func describe(event Event) string {
	switch e := event.(type) {
	case ProduceOpened, Produced, Answered, ProduceEnded:
		return describeProduce(e)
	case Subscribed:
		return fmt.Sprintf("%s %s subscribed to %s at server %q, window %d, ACK timeout %v", e.Side, e.Stream, e.Subscription, e.Server, e.Window, e.AckTimeout)
	case Delivered:
		return fmt.Sprintf("%s %s got %s", e.Side, e.Stream, describeMessages(e.Partition, e.Messages))
	case Acked:
		return fmt.Sprintf("%s %s ACKs %s", e.Side, e.Stream, few(e.IDs))
	case NotHeld:
		return fmt.Sprintf("%s %s is told NOT_HELD of %s", e.Side, e.Stream, few(e.IDs))
	case Withdrawn:
		return fmt.Sprintf("%s %s is told that %s are withdrawn, time left %v", e.Side, e.Stream, describePartitions(e.Partitions), e.TimeLeft)
	case Left:
		return fmt.Sprintf("%s %s leaves", e.Side, e.Stream)
	case ConsumeEnded:
		return strings.TrimSpace(fmt.Sprintf("%s %s ended %s", e.Side, e.Stream, e.Code))
	case ExpiryTold:
		return fmt.Sprintf("%s %s is told MESSAGES_EXPIRED", e.Side, e.Stream)
	case DrainTold:
		return fmt.Sprintf("%s %s is told SHUTTING_DOWN", e.Side, e.Stream)
	case Sent:
		return fmt.Sprintf("server %s has sent what waited", e.Stream)
	case Consuming, Handling, Handled:
		return describeHandler(e)
	}
	return describeServer(event)
}

// String is "client's" or "server's".
func (s Side) String() string {
	if s == Server {
		return "server's"
	}
	return "client's"
}

func describeProduce(event Event) string {
	switch e := event.(type) {
	case ProduceOpened:
		return fmt.Sprintf("producer %s begins at server %q", e.Stream, e.Server)
	case Produced:
		return fmt.Sprintf("producer %s sends %d, %q to %s", e.Stream, e.Sequence, e.Token, e.Topic)
	case Answered:
		switch e.Outcome {
		case Stored:
			return fmt.Sprintf("producer %s is told of %d: stored at %s/%d@%d", e.Stream, e.Sequence, e.Partition.Topic, e.Partition.Number, e.Position)
		case Failed:
			return fmt.Sprintf("producer %s is told of %d: failed, %s", e.Stream, e.Sequence, e.Why)
		}
		return fmt.Sprintf("producer %s is told of %d: unknown, %s", e.Stream, e.Sequence, e.Why)
	case ProduceEnded:
		if e.Broken {
			return fmt.Sprintf("producer %s broke: %s", e.Stream, e.Why)
		}
		return fmt.Sprintf("producer %s ended in good order %s", e.Stream, e.Why)
	}
	return ""
}

func describeHandler(event Event) string {
	switch e := event.(type) {
	case Consuming:
		return fmt.Sprintf("client %s consumes %s", e.Client, e.Subscription)
	case Handling:
		return fmt.Sprintf("client %s handles %s", e.Client, describeMessages(e.Partition, []Message{e.Message}))
	case Handled:
		how := "failed"
		if e.OK {
			how = "done"
		}
		return fmt.Sprintf("client %s is through with %s: %s", e.Client, describeMessages(e.Partition, []Message{e.Message}), how)
	}
	return ""
}

func describeServer(event Event) string {
	switch e := event.(type) {
	case Gained:
		return fmt.Sprintf("server %s gained %s of %s", e.Server, describePartitions(e.Partitions), e.Subscription)
	case Lost:
		return fmt.Sprintf("server %s lost %s of %s", e.Server, describePartitions(e.Partitions), e.Subscription)
	case Fetched:
		return fmt.Sprintf("server %s fetched %s for %s", e.Server, describeMessages(e.Partition, e.Messages), e.Subscription)
	case Draining:
		return fmt.Sprintf("server %s drains", e.Server)
	case Stopped:
		return fmt.Sprintf("server %s is gone", e.Server)
	case PositionRead:
		return fmt.Sprintf("the position of %s in %s/%d is %d", e.Subscription, e.Partition.Topic, e.Partition.Number, e.Position)
	case Expired:
		return fmt.Sprintf("%s/%d expires below %d", e.Partition.Topic, e.Partition.Number, e.Before)
	case Deleted:
		return fmt.Sprintf("topic %s is deleted", e.Topic)
	case Healed:
		return "healed"
	case Expected:
		return fmt.Sprintf("%s is to finish %s", e.Subscription, describePartitions(e.Partitions))
	case Log:
		return fmt.Sprintf("in the end the log has %s", describeMessages(e.Partition, e.Messages))
	}
	return fmt.Sprintf("%T %+v", event, event)
}

func describePartitions(partitions []Partition) string {
	names := make([]string, len(partitions))
	for i, p := range partitions {
		names[i] = fmt.Sprintf("%s/%d", p.Topic, p.Number)
	}
	return few(names)
}

func describeMessages(p Partition, messages []Message) string {
	name := fmt.Sprintf("%s/%d", p.Topic, p.Number)
	switch n := len(messages); n {
	case 0:
		return "nothing of " + name
	case 1:
		return fmt.Sprintf("%s@%d %q", name, messages[0].Position, messages[0].Token)
	default:
		return fmt.Sprintf("%s@%d..%d (%d messages)", name, messages[0].Position, messages[n-1].Position, n)
	}
}

func few(names []string) string {
	if len(names) > 6 {
		return fmt.Sprintf("%s, … (%d in all)", strings.Join(names[:5], ", "), len(names))
	}
	return strings.Join(names, ", ")
}

// excerpt shows an entry, cut down to the message that matters.
func (c *checker) excerpt(x evidence) Entry {
	if x.at == inLog {
		p := x.partition
		only := []Message{{ID: x.id, Position: x.position, Token: x.token}}
		return Entry{At: c.at(len(c.entries) - 1), Event: Log{Partition: p.name, Compacted: p.compacted, Messages: only}}
	}
	e := c.entries[x.at]
	if x.message == nil {
		return e
	}
	switch event := e.Event.(type) {
	case Delivered:
		event.Messages = x.of(event.Messages)
		e.Event = event
	case Fetched:
		event.Messages = x.of(event.Messages)
		e.Event = event
	case Log:
		event.Messages = x.of(event.Messages)
		e.Event = event
	case Acked:
		if slices.Contains(event.IDs, x.id) {
			event.IDs = []string{x.id}
			e.Event = event
		}
	}
	return e
}

// of returns the message among others, or all if it isn't there.
func (m *message) of(messages []Message) []Message {
	k := slices.IndexFunc(messages, func(x Message) bool { return x.Position == m.position })
	if k < 0 {
		return messages
	}
	return messages[k : k+1]
}
