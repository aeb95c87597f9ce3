package io.github.messageproxy;

import java.time.Duration;
import java.util.List;

/** Something that happened to a subscription. Which accessors have a value depends on the {@link #kind()}. */
public final class Event {
    /** The kinds of events. New ones may come: ignore those that you don't know. */
    public enum Kind {
        /** The subscription is joined; {@link #maxUnacked()} and {@link #ackTimeout()} are the limits in force. */
        CONNECTED,
        /** {@link #partitions()} are all those that this client has from now on. */
        ASSIGNED,
        /**
         * Another server takes {@link #partitions()} over in {@link #timeLeft()}. Handlers of their messages that
         * haven't begun won't; those that run have until then.
         */
        WITHDRAWN,
        /**
         * The server can't receive messages, or not make ACKs durable, and is retrying; {@link #error()} says which and
         * why. Comes again while the trouble lasts.
         */
        TROUBLE,
        /** The trouble with the code of {@link #error()} is over. */
        RECOVERED,
        /** Something to know that needs no action; {@link #error()} says what. */
        NOTICE,
        /**
         * The stream has ended because of {@link #error()}. The consumer connects again, unless trying again won't
         * help; then it ends with that error.
         */
        DISCONNECTED
    }

    private final Kind kind;
    private final List<TopicPartition> partitions;
    private final Duration timeLeft;
    private final MessageProxyException error;
    private final int maxUnacked;
    private final Duration ackTimeout;

    private Event(Kind kind, List<TopicPartition> partitions, Duration timeLeft, MessageProxyException error,
            int maxUnacked, Duration ackTimeout) {
        this.kind = kind;
        this.partitions = partitions;
        this.timeLeft = timeLeft;
        this.error = error;
        this.maxUnacked = maxUnacked;
        this.ackTimeout = ackTimeout;
    }

    static Event connected(int maxUnacked, Duration ackTimeout) {
        return new Event(Kind.CONNECTED, List.of(), Duration.ZERO, null, maxUnacked, ackTimeout);
    }

    static Event assigned(List<TopicPartition> partitions) {
        return new Event(Kind.ASSIGNED, partitions, Duration.ZERO, null, 0, Duration.ZERO);
    }

    static Event withdrawn(List<TopicPartition> partitions, Duration timeLeft) {
        return new Event(Kind.WITHDRAWN, partitions, timeLeft, null, 0, Duration.ZERO);
    }

    static Event about(Kind kind, MessageProxyException error) {
        return new Event(kind, List.of(), Duration.ZERO, error, 0, Duration.ZERO);
    }

    /**
     * What happened.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    /**
     * Which partitions it is about.
     *
     * @return the partitions of {@link Kind#ASSIGNED} and {@link Kind#WITHDRAWN}, else none; immutable
     */
    public List<TopicPartition> partitions() {
        return partitions;
    }

    /**
     * How long running handlers have.
     *
     * @return the time left of {@link Kind#WITHDRAWN}, else zero
     */
    public Duration timeLeft() {
        return timeLeft;
    }

    /**
     * What is or was wrong.
     *
     * @return the error of {@link Kind#TROUBLE}, {@link Kind#RECOVERED}, {@link Kind#NOTICE} and {@link
     *     Kind#DISCONNECTED}, else null
     */
    public MessageProxyException error() {
        return error;
    }

    /**
     * How many messages this client may hold without having ACKed them.
     *
     * @return the limit of {@link Kind#CONNECTED}, else 0
     */
    public int maxUnacked() {
        return maxUnacked;
    }

    /**
     * How long this client may take over its oldest message.
     *
     * @return the ACK timeout of {@link Kind#CONNECTED}, else zero
     */
    public Duration ackTimeout() {
        return ackTimeout;
    }

    /** Says what happened, in a line. */
    @Override
    public String toString() {
        return switch (kind) {
            case CONNECTED -> "subscribed (max unacked " + maxUnacked + ", ACK timeout " + ackTimeout + ")";
            case ASSIGNED -> "partitions assigned: " + partitions;
            case WITHDRAWN -> "partitions withdrawn: " + partitions + " (time left " + timeLeft + ")";
            case TROUBLE -> "the server has trouble with the broker: " + error.getMessage();
            case RECOVERED -> "the server's trouble with the broker is over: " + error.getMessage();
            case NOTICE -> "notice from the server: " + error.getMessage();
            case DISCONNECTED -> "the stream has ended: " + error.getMessage();
        };
    }
}
