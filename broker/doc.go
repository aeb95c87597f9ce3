// Package broker is the contract between the proxy and the message broker
// behind it. The server speaks only this contract; a backend (broker-kafka is
// the first) turns it into what its broker understands.
//
// The contract knows topics, partitions, subscriptions, messages and ACKs. How
// a backend keeps a subscription's ACKs (one position per partition, a list, a
// flag per message) is the backend's own affair, and so is when it writes them
// down.
//
// Package brokertest checks every sentence of this contract against a backend,
// and has an in-memory backend to compare with.
package broker
