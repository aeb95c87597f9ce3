// Package history checks what a proxy did against what it promises. Tests of every
// kind (simulated, against a real Kafka, under load) record what they saw as
// events, in one order, and Check says which guarantees that breaks, each with
// the few events that explain it.
//
// # Rules
//
// Producing, from what producers were told and the logs:
//
//	stored-missing         a stored message isn't in the log, and hasn't expired, been compacted or deleted
//	failed-but-stored      a message that was answered failed is in the log
//	stored-twice           a message is in the log more often than it was sent
//	receipt-wrong          a receipt names a place where another message is
//	produced-out-of-order  a stream's messages are stored, or answered, in another order than sent
//	two-results            a message got several results
//	no-result              a message got none on a stream that ended in good order
//	answered-unasked       a result of what was never sent
//
// Positions and content:
//
//	unacked-below-position  a message is below the position, and nobody who held it has ACKed it
//	position-went-back      the position went back
//	delivered-wrong         the log has something else where a message was delivered from
//	not-in-log              the log has nothing there
//	id-changed, id-reused   a message has two ids, or two messages have one
//
// Order, holders and windows:
//
//	out-of-order, fetched-out-of-order  messages of a partition don't ascend
//	older-waits             a newer message was delivered before what an ended stream left
//	skipped                 a message was left out
//	acked-comes-again       a message was delivered again after its ACK, by the same server
//	two-holders             two streams of a server hold messages of one partition
//	delivered-unowned, delivered-unfetched  a server delivers what it lost, or hasn't fetched
//	client-window           a stream holds more than its window
//	partition-window        a server has more of a partition than its window and one fetch
//	ack-timeout             a stream wasn't thrown out in time, or was too early
//	promised-time           a partition went before the time was over that its holder was told
//	delivered-after-leave, delivered-while-draining  a stream got messages when it was to get none
//	expiry-untold           messages expired that nobody had had, and who was there wasn't told
//
// The SDK:
//
//	handlers-overlap      handlers of one partition ran at once
//	handled-out-of-order  a handler was called in another order than that of the deliveries
//	acked-unhandled       a message was ACKed that no handler had done
//
// In the end, if Rules.Settled and after Healed:
//
//	never-delivered  a message wasn't delivered to a subscription
//	never-durable    the position isn't behind the last message
//
// Sizes, if Rules.WindowBytes and Rules.BufferedBytes say so:
//
//	client-bytes  a stream holds more bytes than it may
//	byte-budget   a server goes on fetching although its clients hold more than its budget
//
// Between Calm and Disturbed, while less is forgiven:
//
//	acked-comes-again     a server fetches what was ACKed before the partition was let go
//	failed-without-cause  a message failed before its time was up
//
// # What can be seen
//
// Check is meant to have no false alarms if events are recorded as event.go says, and
// to see more the more is recorded. Each end of a stream is judged by itself.
//
// Where servers are seen at both ends, towards clients and towards the broker (with
// Gained, Lost and Fetched), all rules apply. A server's events aren't in the order
// in which it decides: a delivery is recorded when it is sent, which may be late; a
// loss before the server hears of it. The allowances that this takes are exact to
// Rules.Slack, a millisecond in virtual time: a holder has no excuse but that it has
// ended at that very time, or is overdue and ends within Rules.EvictionGrace; a
// delivery is taken for one of an earlier assignment only if nothing of it was fetched
// since, or if its stream is told in the same breath that the partition has gone. What
// a client that doesn't read is sent late is told by Sent.
//
// Where clients alone are seen, it isn't known when a partition leaves a server and
// comes back. Then two-holders needs a proof: that the second holder came later, because
// it got something that was produced after the first got what it holds; and that the
// first goes on, because it gets something that was produced later still, without having
// been told of any loss. Order and gaps are checked as long as a stream holds
// something of a partition, for then it can't have left. An ACK counts if its stream
// was delivered the message and hasn't been told that it lost it.
//
// Where only handlers are seen, what they have done counts as ACKed.
package history
