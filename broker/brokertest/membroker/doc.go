// Package membroker is the reference implementation of the broker contract: a
// broker in memory, complete and simple, that can be told to fail.
//
// It has partitioned logs, subscriptions shared by several consumers with a
// handover between them, durable ACKs, windows, pauses, retention and topics
// that are deleted and created again. What it holds is gone with the Broker. A
// Broker is also the broker's administrator (CreateTopic, DeleteBefore, …), its
// saboteur (FailPolls, SetReachable, …) and its window for tests (Log,
// FirstUnacked, Partition, …).
//
// It needs the standard library alone, takes the time from package time, and
// waits on nothing but channels and timers, so that it also works in a bubble of
// testing/synctest. The goroutines that it starts end with the producers and
// consumers that they serve, and with the Broker at the latest.
//
// One lock, Broker.mu, guards logs, subscriptions, consumers and faults. A
// producer has a lock of its own for its queue and never holds it together with
// Broker.mu. No callback is called with a lock held.
package membroker
