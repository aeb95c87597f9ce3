package io.github.messageproxy;

import java.util.List;

/**
 * A named, durable reading position over some topics, shared by all clients that give the same name. Make one with
 * {@link Client#subscription}.
 */
public final class Subscription {
    private final Client client;
    private final String name;
    private final List<String> topics;

    Subscription(Client client, String name, List<String> topics) {
        this.client = client;
        this.name = name;
        this.topics = topics;
    }

    /**
     * Consumes with the default options.
     *
     * @param handler handles the messages
     * @return the consumer, which has begun to connect
     * @throws MessageProxyException as {@link #consume(Handler, ConsumeOptions)}
     * @throws ClosedException if the client is closed
     */
    public Consumer consume(Handler handler) {
        return consume(handler, ConsumeOptions.defaults());
    }

    /**
     * Joins the subscription, on a connection of its own, and calls a handler with its messages until it is asked to
     * stop, a handler fails for good, the client is closed, or the server ends the stream with an error that trying
     * again won't help. After anything else it connects again, with back-off. May be called several times; each
     * consumer is a member of the subscription.
     *
     * <p>A handler that returns ACKs its message. One that throws is called again, see {@link
     * ConsumeOptions.Builder#attempts}. Messages of a partition are handled one after another, in order; several
     * partitions at once. See {@link ConsumeOptions.Builder#maxHandlers} and {@link ConsumeOptions.Builder#keyWorkers}
     * for other ways.
     *
     * <p>Delivery is at least once: a message may come again after a lost connection, here or elsewhere. When the
     * connection is lost or a partition moves to another server, messages that haven't begun are dropped, running
     * handlers are told to end ({@link HandlerContext}), and the partition's next handler starts only when its
     * predecessor has returned.
     *
     * <p>It ends for good with an error of {@link Code#INVALID_ARGUMENT}, {@link Code#TOPIC_NOT_FOUND}, {@link
     * Code#PARTITION_NOT_FOUND}, {@link Code#SUBSCRIPTION_CONFLICT}, {@link Code#UNAUTHENTICATED}, {@link
     * Code#PERMISSION_DENIED} and {@link Code#UNSUPPORTED}; it connects again after {@link Code#SHUTTING_DOWN}, {@link
     * Code#BROKER_UNAVAILABLE}, {@link Code#CONSUME_FAILED}, {@link Code#ACK_FAILED}, {@link Code#ACK_TIMEOUT}, {@link
     * Code#RESOURCE_EXHAUSTED} and {@link Code#INTERNAL}; any other code counts by its {@code retryable}.
     *
     * @param handler handles the messages
     * @param options how
     * @return the consumer, which has begun to connect
     * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the handler or the options are null, or the
     *     subscription or a topic is no valid Unicode
     * @throws ClosedException if the client is closed
     */
    public Consumer consume(Handler handler, ConsumeOptions options) {
        if (handler == null) {
            throw Errors.of(Code.INVALID_ARGUMENT, "consume: the handler is null", false);
        }
        if (options == null) {
            throw Errors.of(Code.INVALID_ARGUMENT, "consume: the options are null", false);
        }
        requireUnicode(name, "the subscription");
        for (String topic : topics) {
            requireUnicode(topic, "a topic");
        }
        return client.consume(name, topics, handler, options);
    }

    private static void requireUnicode(String text, String what) {
        if (text == null || !Text.isUnicode(text)) {
            throw Errors.of(Code.INVALID_ARGUMENT,
                    "consume: the name of " + what + " is " + (text == null ? "null" : "not valid Unicode"), false);
        }
    }
}
