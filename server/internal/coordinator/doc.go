// Package coordinator decides everything about the consume side of one
// subscription: which client owns which partition, which messages go to whom and
// when, what an ACK means, who is stuck, when to join and to leave the broker's
// subscription, and what clients are told.
//
// It is a pure state machine. [State.Step] takes one event, [State.Settle] draws
// the conclusions and returns the effects; neither does I/O, looks at a clock or
// starts a goroutine. Time comes in as [Tick]. Package consume has the loop that
// feeds it and carries out the effects.
//
// The rules are C1 to C9 of the project's guarantees (docs/guarantees.md). The
// scripts in testdata show each of them.
//
//   - state.go: the state and its invariants
//   - events.go, effects.go: what goes in and what comes out
//   - lifecycle.go: clients join and go, the consumer opens and closes (C8)
//   - ownership.go: who owns which partition (C4)
//   - backlog.go: the messages of one partition, in flight and waiting
//   - attempts.go: what is known of earlier deliveries
//   - queue.go: whose turn it is
//   - delivery.go: who gets what (C2, C5, C7)
//   - acks.go: what an ACK means (C1)
//   - clock.go: stuck clients (C6)
//   - trouble.go: broker trouble (C9)
//   - draining.go: the server shuts down
package coordinator
