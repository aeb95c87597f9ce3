// Package simulation attacks the whole proxy in virtual time: SDK clients and bare
// gRPC clients, the server, the Kafka backend and kfake, all in one bubble of
// testing/synctest, on a network whose faults are told by a plan.
//
// A Plan (plan.go) says what there is and, step by step, what happens. It is a value
// and has a text form (plantext.go), so a plan that found something is a script that
// does it again. Run (run.go) carries a plan out, heals everything, waits until the
// proxy must have settled, and has package history judge what was seen.
//
// What there is in a bubble:
//
//   - network.go, wire.go: connections in memory that behave as those of TCP do, and
//     can be reset, refused, stalled, delayed and throttled.
//   - kafka.go, requests.go, sessions.go, producerids.go: kfake on that network, with
//     requests and answers that get lost, late or refused on their way, and what kfake
//     itself doesn't do.
//   - proxy.go: proxies that start, drain, are killed and frozen.
//   - producer.go, producer_sdk.go, consumer*.go, client.go, queue.go: clients.
//   - world.go, steps.go, settle.go: the plan's steps, the healing, the end.
//   - calm.go, sdk_outcomes.go: what history can't know: which steps disturb, and what
//     SDK clients tell their applications.
//
// print.go and stacks.go show what was seen, and where a simulation hangs. Tests draw
// plans at random (gen_test.go, scenes_test.go), carry out many (runner_test.go), count
// what took place (coverage_test.go) and make a plan that fails smaller
// (shrink_test.go). Package mutants shows that they would notice.
//
// Everything that the world waits for has a limit, so that a simulation ends
// whatever happens. What keeps time in the bubble from passing ends the process after
// two minutes, and says what it was.
//
// Tests need the build tag synctests, by which the Kafka client takes locks that a
// bubble understands. SIMULATION_LOG=debug (or info) has everybody log to the
// standard error; in a script's test SIMULATION_HISTORY=1 prints what was seen.
package simulation
