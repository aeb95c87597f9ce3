/**
 * Produces and consumes messages through a message proxy.
 *
 * <pre>{@code
 * try (Client client = Client.builder("localhost:7070").build()) {
 *     Receipt receipt = client.produce(OutgoingMessage.builder("orders").key(key).value(value).build()).join();
 *
 *     Consumer consumer = client.subscription("billing", "orders")
 *             .consume((message, context) -> bill(message.value())); // returning ACKs the message
 *     consumer.completion().join();
 * }
 * }</pre>
 *
 * <p>Streams, batches, ACKs, reconnects and back-off are the package's affair. There are no offsets, no commits and no
 * rebalances to care for.
 *
 * <p><b>Producing:</b> every message has exactly one outcome. A receipt: the broker has stored it. A {@link
 * io.github.messageproxy.MessageProxyException} with {@link io.github.messageproxy.Code#UNKNOWN_OUTCOME}: it may be
 * stored. Any other error: it is certainly not stored, and never will be. The client never sends a message twice,
 * unless the server said that it was not stored. The messages of one thread are stored in their order in each
 * partition.
 *
 * <p><b>Consuming:</b> delivery is at least once. A message is done when its handler has returned and the ACK has
 * arrived; whatever else happens, it is delivered again, here or elsewhere. Messages of a partition are handled in
 * order and one at a time, across reconnects too, unless {@link
 * io.github.messageproxy.ConsumeOptions.Builder#keyWorkers} says otherwise.
 */
package io.github.messageproxy;
