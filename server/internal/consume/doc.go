// Package consume serves the Consume streams.
//
// Who runs what:
//
//   - [Service] holds the subscriptions by name, under its mutex.
//   - Each subscription has one loop goroutine (subscription.go). It owns the
//     coordinator's state, takes events from its mailbox in batches, and carries
//     out the effects. It never blocks: what it sends goes into outboxes, what it
//     asks of the broker doesn't wait.
//   - While a consumer is wanted, a session goroutine (session.go) opens it, polls
//     it into the mailbox, and closes it.
//   - Each stream has two goroutines. The handler's own writes what its outbox
//     holds (stream.go); a second one reads requests into the mailbox (reader.go).
//     The reader never waits for the writer.
//
// A loop ends when its last stream's reader has ended and its consumer is closed.
package consume
