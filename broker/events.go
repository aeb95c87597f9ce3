package broker

import "time"

// Events are what PollMessages returns, in the order in which it happened.
type Events []Event

// Event is one of the Event… types of this package.
type Event interface{ isEvent() }

// EventAssigned says that the consumer has these partitions from now on. Their
// messages follow. None of them was assigned before.
type EventAssigned struct {
	Partitions []TopicPartition
}

// EventMessages carries messages of an assigned partition that isn't being
// revoked, by ascending Position. There is at least one.
type EventMessages struct {
	Partition TopicPartition
	Messages  []Message
}

// EventRevoking says that assigned partitions are about to go to another
// consumer. No messages of them follow; ACKs of those that are outstanding still
// count, until the caller calls Release or TimeLeft is over. EventLost follows in
// either case.
type EventRevoking struct {
	Partitions []TopicPartition
	TimeLeft   time.Duration
}

// EventLost says that assigned partitions are gone: released, or taken without
// notice. ACKs of their messages are ignored from now on.
type EventLost struct {
	Partitions []TopicPartition
}

// EventExpired says that the broker deleted messages of an assigned partition
// before the consumer received them. The partition goes on with the oldest
// message that is left.
type EventExpired struct {
	Partition TopicPartition
	// Count is how many messages are missing at most, or 0 if the broker doesn't
	// tell.
	Count uint64
}

// EventAckTrouble says that ACKs can't be made durable. The consumer goes on
// trying, and goes on returning messages. It comes within 10 seconds of the
// beginning of the trouble and again, at least every 10 seconds, while it lasts.
type EventAckTrouble struct {
	Err error
}

// EventAckRecovered says that the trouble is over: every ACK that failed is
// durable, or its partition is gone.
type EventAckRecovered struct{}

func (EventAssigned) isEvent()     {}
func (EventMessages) isEvent()     {}
func (EventRevoking) isEvent()     {}
func (EventLost) isEvent()         {}
func (EventExpired) isEvent()      {}
func (EventAckTrouble) isEvent()   {}
func (EventAckRecovered) isEvent() {}
