// Package kafka is the Kafka backend of the broker contract, built on franz-go.
// It is the only package of the project that speaks Kafka's protocol, and the
// only one that knows offsets, commits and consumer groups.
//
// New makes a broker.Broker out of Options without talking to Kafka. Every
// producer and every consumer it opens has a Kafka client of its own, which it
// closes itself; the Broker keeps one more for Ping.
//
// Producers are idempotent, wait for all in-sync replicas and never linger:
// batches form while the previous request is under way. The broker needs Kafka
// 2.8 or newer, the first with topic ids, for messages to have ids.
//
// The package kafkadev starts an embedded Kafka for development, and kafkatest
// has what tests of several modules share.
package kafka
