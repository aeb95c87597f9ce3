package io.github.messageproxy;

import com.google.protobuf.ByteString;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/**
 * A message to produce. Immutable; it may be produced several times. Make one with {@link #builder}. Whether it can be
 * produced is checked by {@link Client#produce}.
 */
public final class OutgoingMessage {
    /** About what a header costs beside its own bytes, so that many small ones don't pass for nothing. */
    private static final int HEADER_BYTES = 16;

    private final String topic;
    private final ByteString key; // null: absent
    private final ByteString value; // null: absent
    private final List<Header> headers;
    private final Integer partition; // null: the key chooses
    private final Instant timestamp; // null: the proxy's time

    private OutgoingMessage(Builder builder) {
        topic = builder.topic;
        key = builder.key;
        value = builder.value;
        headers = List.copyOf(builder.headers);
        partition = builder.partition;
        timestamp = builder.timestamp;
    }

    /**
     * Begins a message.
     *
     * @param topic where it goes; required, in valid Unicode
     * @return a builder; everything but the topic is absent
     */
    public static Builder builder(String topic) {
        return new Builder(topic);
    }

    /**
     * Where the message goes.
     *
     * @return the topic
     */
    public String topic() {
        return topic;
    }

    /**
     * The key.
     *
     * @return a copy of the key; null if it is absent
     */
    public byte[] key() {
        return key == null ? null : key.toByteArray();
    }

    /**
     * The value.
     *
     * @return a copy of the value; null if it is absent
     */
    public byte[] value() {
        return value == null ? null : value.toByteArray();
    }

    /**
     * The headers.
     *
     * @return the headers in their order; immutable, never null
     */
    public List<Header> headers() {
        return headers;
    }

    /**
     * The partition that was asked for.
     *
     * @return the partition; empty if the key chooses
     */
    public OptionalInt partition() {
        return partition == null ? OptionalInt.empty() : OptionalInt.of(partition);
    }

    /**
     * When the event happened.
     *
     * @return the time; null for that at which the proxy receives the message
     */
    public Instant timestamp() {
        return timestamp;
    }

    /** Names the topic; no key, value or header is shown, so that none gets into a log by accident. */
    @Override
    public String toString() {
        return "OutgoingMessage[" + topic + ", " + size() + " bytes]";
    }

    /** The bytes of key, value and headers, and a little for each header. */
    long size() {
        long size = (key == null ? 0L : key.size()) + (value == null ? 0L : value.size());
        for (Header header : headers) {
            ByteString headerValue = header.valueBytes();
            size += HEADER_BYTES + Text.utf8Length(header.key()) + (headerValue == null ? 0 : headerValue.size());
        }
        return size;
    }

    /** Says why the message can't be produced, or returns null. What passes can always be encoded. */
    MessageProxyException validate(long size, int maxBytes) {
        if (topic == null || topic.isEmpty()) {
            return invalid("it has no topic");
        }
        if (!Text.isUnicode(topic)) {
            return invalid("its topic is not valid Unicode");
        }
        for (int i = 0; i < headers.size(); i++) {
            if (!Text.isUnicode(headers.get(i).key())) {
                return invalid("the key of its header " + i + " is not valid Unicode");
            }
        }
        if (timestamp != null && !inMillis(timestamp)) {
            return invalid("its timestamp " + timestamp + " is out of range");
        }
        if (size > maxBytes) {
            return Errors.of(Code.MESSAGE_TOO_LARGE, "the message for topic \"" + topic + "\" has " + size
                    + " bytes, above the client's limit of " + maxBytes
                    + "; if the server takes it, raise maxMessageBytes", false);
        }
        return null;
    }

    private static boolean inMillis(Instant time) {
        try {
            time.toEpochMilli();
            return true;
        } catch (ArithmeticException e) {
            return false;
        }
    }

    static MessageProxyException invalid(String why) {
        return Errors.of(Code.INVALID_ARGUMENT, "the message can't be produced: " + why, false);
    }

    /** What goes on the wire. */
    io.github.messageproxy.v1.OutgoingMessage toWire(long sequence) {
        var wire = io.github.messageproxy.v1.OutgoingMessage.newBuilder().setSequence(sequence).setTopic(topic);
        if (key != null) {
            wire.setKey(key);
        }
        if (value != null) {
            wire.setValue(value);
        }
        for (Header header : headers) {
            var entry = io.github.messageproxy.v1.Header.newBuilder().setKey(header.key());
            if (header.valueBytes() != null) {
                entry.setValue(header.valueBytes());
            }
            wire.addHeaders(entry);
        }
        if (partition != null) {
            wire.setPartition(partition);
        }
        if (timestamp != null) {
            wire.setTimestampMs(timestamp.toEpochMilli());
        }
        return wire.build();
    }

    /** Makes an {@link OutgoingMessage}. All bytes are copied. Not for several threads at once. */
    public static final class Builder {
        private final String topic;
        private ByteString key;
        private ByteString value;
        private final List<Header> headers = new ArrayList<>(0);
        private Integer partition;
        private Instant timestamp;

        private Builder(String topic) {
            this.topic = topic;
        }

        /**
         * Sets the key, which chooses the partition: messages of a topic with equal keys go to the same one and so stay
         * in order. Default, and null: absent, any partition. Absent and empty are different and both kept.
         *
         * @param key the key, which is copied
         * @return this builder
         */
        public Builder key(byte[] key) {
            return key(key == null ? null : ByteString.copyFrom(key));
        }

        Builder key(ByteString key) {
            this.key = key;
            return this;
        }

        /**
         * Sets the payload. Default, and null: absent, a tombstone on a compacted topic. Absent and empty are different
         * and both kept.
         *
         * @param value the value, which is copied
         * @return this builder
         */
        public Builder value(byte[] value) {
            return value(value == null ? null : ByteString.copyFrom(value));
        }

        Builder value(ByteString value) {
            this.value = value;
            return this;
        }

        /**
         * Adds a header after those there are; keys may repeat.
         *
         * @param key in valid Unicode; not null
         * @param value copied; null means absent, which is another value than empty
         * @return this builder
         * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the key is null
         */
        public Builder header(String key, byte[] value) {
            return header(new Header(key, value));
        }

        /**
         * Adds a header after those there are; keys may repeat.
         *
         * @param header not null
         * @return this builder
         * @throws MessageProxyException with {@link Code#INVALID_ARGUMENT} if the header is null
         */
        public Builder header(Header header) {
            if (header == null) {
                throw Errors.badOption("header", "it is null");
            }
            headers.add(header);
            return this;
        }

        /**
         * Sends the message to this partition, whatever its key. Default: the key chooses.
         *
         * @param partition the partition's number
         * @return this builder
         */
        public Builder partition(int partition) {
            this.partition = partition;
            return this;
        }

        /**
         * Says when the event happened, to the millisecond. Default, and null: the time at which the proxy receives the
         * message.
         *
         * @param timestamp the time
         * @return this builder
         */
        public Builder timestamp(Instant timestamp) {
            this.timestamp = timestamp;
            return this;
        }

        /**
         * Makes the message.
         *
         * @return the message
         */
        public OutgoingMessage build() {
            return new OutgoingMessage(this);
        }
    }
}
