// Package messageproxy produces and consumes messages through a message proxy.
//
//	client, err := messageproxy.NewClient("localhost:7070")
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	_, err = client.Produce(ctx, &messageproxy.Message{Topic: "orders", Key: []byte("ada"), Value: []byte("a cup")})
//	…
//	err = client.Subscription("billing", "orders").Consume(ctx, func(ctx context.Context, m *messageproxy.Message) error {
//		return bill(ctx, m.Value) // nil ACKs the message
//	})
//
// Streams, batches, ACKs, reconnects and back-off are the package's affair. There
// are no offsets, no commits and no rebalances to care for.
//
// # What is guaranteed
//
// Producing: every message has exactly one outcome. No error: the broker has
// stored it. An error that matches ErrUnknownOutcome: it may be stored. Any other
// error: it is certainly not stored, and never will be. The client never sends a
// message twice, unless the server said that it was not stored; so what was on
// the wire when a connection was lost has an unknown outcome, and what was not
// goes out on the next connection. The messages that a goroutine produces one
// after another are stored in that order in each partition.
//
// Consuming: delivery is at least once. A message counts as done when its handler
// has returned nil and the ACK has arrived; whatever else happens, it is delivered
// again, here or elsewhere. Messages of a partition are handled in order and one
// at a time, across reconnects too, unless WithKeyWorkers says otherwise. Handlers should bear a repetition: Message.ID
// tells one, as it is the same on every delivery.
//
// Package messageproxytest has a proxy in memory to test handlers with.
package messageproxy
