// Package tap records what the parts of a test do as history events: the streams
// of clients and of servers by gRPC interceptors, partitions and fetches by a
// wrapper around the broker, logs and positions by asking Kafka.
//
// A Tap only looks. It hands on every call, message and error as it is, starts no
// goroutine, and holds no lock while what it watches works.
package tap
