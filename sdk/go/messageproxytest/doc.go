// Package messageproxytest has an in-memory message proxy for the tests of
// applications: of their handlers, and of what they do when things go wrong.
//
//	server := messageproxytest.NewServer()
//	defer server.Close()
//	client, err := server.NewClient()
//	…
//	server.Add(&messageproxy.Message{Topic: "orders", Value: []byte("one")})
//	go client.Subscription("billing", "orders").Consume(ctx, handler)
//	acked, err := server.WaitAcked(ctx, "billing", 1)
//
// The server keeps topics, shares partitions among the members of a subscription,
// and delivers again what was not ACKed. Its script methods let connections break,
// streams end with an error, partitions be withdrawn and results be late, lost or
// bad. It has no ACK timeout and no retention; script what they would do.
//
// Everything is in memory and takes no time of its own, so it works in a bubble of
// testing/synctest too.
package messageproxytest
