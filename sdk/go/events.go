package messageproxy

import (
	"fmt"
	"time"
)

// EventKind is the kind of an Event. New kinds may come: ignore those that you
// don't know.
type EventKind int

// The kinds of events.
const (
	// EventConnected: the subscription is joined; MaxUnacked and AckTimeout are the
	// limits in force.
	EventConnected EventKind = iota + 1
	// EventAssigned: Partitions are all those that this client has from now on.
	EventAssigned
	// EventWithdrawn: another server takes Partitions over in TimeLeft. Handlers of
	// their messages that haven't begun won't, those that run have until then.
	EventWithdrawn
	// EventTrouble: the server can't receive messages, or not make ACKs durable, and
	// is retrying; Err says which and why. It comes again while the trouble lasts.
	EventTrouble
	// EventRecovered: the trouble with Err's code is over.
	EventRecovered
	// EventNotice: something to know that needs no action; Err says what.
	EventNotice
	// EventDisconnected: the stream has ended, because of Err. Consume connects
	// again unless Err is one that it returns.
	EventDisconnected
)

var eventNames = [...]string{
	EventConnected:    "connected",
	EventAssigned:     "assigned",
	EventWithdrawn:    "withdrawn",
	EventTrouble:      "trouble",
	EventRecovered:    "recovered",
	EventNotice:       "notice",
	EventDisconnected: "disconnected",
}

// String names the kind.
func (k EventKind) String() string {
	if k <= 0 || int(k) >= len(eventNames) {
		return fmt.Sprintf("event %d", int(k))
	}
	return eventNames[k]
}

// Event is something that happened to a subscription: see the kinds for which
// fields are set.
type Event struct {
	Kind       EventKind
	Partitions []TopicPartition
	TimeLeft   time.Duration
	Err        *Error
	MaxUnacked int
	AckTimeout time.Duration
}

// TopicPartition names a partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns "topic/partition".
func (p TopicPartition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Partition) }
