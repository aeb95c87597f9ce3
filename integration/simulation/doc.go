// Package simulation attacks the whole proxy in virtual time: SDK clients and bare
// gRPC clients, the server, the Kafka backend and kfake, all in one bubble of
// testing/synctest, on a network whose faults are told by a plan.
//
// A Plan says what there is and, step by step, what happens. It is a value and has
// a text form, so a plan that found something is a script that does it again. Run
// carries a plan out, heals everything, waits until the proxy must have settled,
// and has package history judge what was seen.
//
// Tests need the build tag synctests, by which the Kafka client takes locks that a
// bubble understands.
package simulation
