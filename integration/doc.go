// Package integration tests the Go SDK against the true server in front of a true
// Kafka.
//
// One Kafka is shared by all tests, in a Testcontainers container or, if
// MESSAGEPROXY_TEST_KAFKA names one, that one; tests that stop Kafka start their
// own. Every test has topics and subscriptions of its own.
package integration
