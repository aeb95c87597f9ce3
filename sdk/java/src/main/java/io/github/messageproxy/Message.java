package io.github.messageproxy;

import com.google.protobuf.ByteString;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** A message that was delivered to a consumer. Immutable; it may be kept as long as one likes. */
public final class Message {
    private final TopicPartition from;
    private final io.github.messageproxy.v1.Message wire;

    Message(TopicPartition from, io.github.messageproxy.v1.Message wire) {
        this.from = from;
        this.wire = wire;
    }

    /**
     * Where the message comes from.
     *
     * @return the topic
     */
    public String topic() {
        return from.topic();
    }

    /**
     * The partition that the message comes from.
     *
     * @return the partition's number
     */
    public int partition() {
        return from.partition();
    }

    /**
     * Identifies the message: the same on every delivery of it, and never that of another message. Opaque, at most 512
     * bytes.
     *
     * @return the ID
     */
    public String id() {
        return wire.getId();
    }

    /**
     * The key.
     *
     * @return a copy of the key; null if it is absent
     */
    public byte[] key() {
        return wire.hasKey() ? wire.getKey().toByteArray() : null;
    }

    /**
     * The value.
     *
     * @return a copy of the value; null if it is absent
     */
    public byte[] value() {
        return wire.hasValue() ? wire.getValue().toByteArray() : null;
    }

    /**
     * The headers.
     *
     * @return the headers in their order; immutable, never null
     */
    public List<Header> headers() {
        if (wire.getHeadersCount() == 0) {
            return List.of();
        }
        List<Header> headers = new ArrayList<>(wire.getHeadersCount());
        for (io.github.messageproxy.v1.Header header : wire.getHeadersList()) {
            headers.add(new Header(header.getKey(), header.hasValue() ? header.getValue() : null));
        }
        return List.copyOf(headers);
    }

    /**
     * The message's time: when the event happened, or when the proxy or the broker received it.
     *
     * @return the time, to the millisecond
     */
    public Instant timestamp() {
        return Instant.ofEpochMilli(wire.getTimestampMs());
    }

    /**
     * 1 when the message is delivered for the first time, as far as the server knows, 2 the next time, and so on. A
     * handler that is called again after a failure sees the same number. It begins again when nobody was connected to
     * the subscription.
     *
     * @return the number of the delivery
     */
    public long deliveryAttempt() {
        return Integer.toUnsignedLong(wire.getDeliveryAttempt());
    }

    /**
     * Begins a message with this one's key, value, headers and timestamp, to produce it elsewhere.
     *
     * @param topic where it goes
     * @return a builder
     */
    public OutgoingMessage.Builder toOutgoing(String topic) {
        OutgoingMessage.Builder builder = OutgoingMessage.builder(topic)
                .key(keyBytes())
                .value(wire.hasValue() ? wire.getValue() : (ByteString) null)
                .timestamp(timestamp());
        headers().forEach(builder::header);
        return builder;
    }

    /** The key; null if it is absent. */
    ByteString keyBytes() {
        return wire.hasKey() ? wire.getKey() : null;
    }

    TopicPartition from() {
        return from;
    }

    /** Names topic, partition and ID; no key, value or header is shown, so that none gets into a log by accident. */
    @Override
    public String toString() {
        return "Message[" + from + ", " + id() + "]";
    }
}
