// Package examples has one small program per task, short enough to copy:
//
//   - produce: each line of the standard input becomes a message
//   - consume: prints the messages of a topic
//   - workerpool: workers share a subscription, and go on when one dies
//   - pipeline: produces from what it consumes
//   - demo: starts a proxy and shows all of it to a person (make demo)
//
// Start a proxy with "messageproxy dev" and run them with "go run ./produce".
// They take its address from -addr or MESSAGEPROXY_ADDR.
package examples
