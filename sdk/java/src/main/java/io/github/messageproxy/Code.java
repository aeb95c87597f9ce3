package io.github.messageproxy;

/** The kind of a {@link MessageProxyException}. The numbers are those of the wire contract's {@code ErrorCode}. */
public enum Code {
    /** The server gave no code. */
    UNSPECIFIED(0, "error"),
    /** The message or an option isn't valid; the error says which and why. */
    INVALID_ARGUMENT(1, "invalid argument"),
    /** There is no such topic. */
    TOPIC_NOT_FOUND(2, "topic not found"),
    /** The topic has no such partition. */
    PARTITION_NOT_FOUND(3, "partition not found"),
    /** The message is above a limit of the client, the server or the broker. */
    MESSAGE_TOO_LARGE(4, "message too large"),
    /** The proxy can't be reached, or not the broker behind it. */
    BROKER_UNAVAILABLE(5, "unavailable"),
    /** The message may or may not be stored: the answer was lost, or the caller ended the call before it came. */
    UNKNOWN_OUTCOME(6, "unknown outcome"),
    /** The server can't receive messages from the broker. */
    CONSUME_FAILED(7, "consume failed"),
    /** The server can't make ACKs durable. */
    ACK_FAILED(8, "ACK failed"),
    /** ACKs of messages that this client doesn't hold any more. */
    NOT_HELD(9, "not held"),
    /** This client's oldest message wasn't ACKed in time. */
    ACK_TIMEOUT(10, "ACK timeout"),
    /** The subscription is in use with other topics or another start position. */
    SUBSCRIPTION_CONFLICT(11, "subscription conflict"),
    /** The credentials are missing or not accepted. */
    UNAUTHENTICATED(12, "unauthenticated"),
    /** The credentials don't allow this. */
    PERMISSION_DENIED(13, "permission denied"),
    /** A limit of the server is reached. */
    RESOURCE_EXHAUSTED(14, "resource exhausted"),
    /** The server is shutting down. */
    SHUTTING_DOWN(15, "shutting down"),
    /** Something went wrong in the server. */
    INTERNAL(16, "internal error"),
    /** The broker deleted messages before they were delivered. */
    MESSAGES_EXPIRED(17, "messages expired"),
    /** The server, or the broker behind it, doesn't have the feature. */
    UNSUPPORTED(18, "unsupported"),
    /**
     * A code of a newer server, which this version doesn't know: {@link MessageProxyException#codeNumber()} has its
     * number.
     */
    UNRECOGNIZED(-1, "code");

    private static final Code[] BY_NUMBER = new Code[19];

    static {
        for (Code code : values()) {
            if (code.number >= 0) {
                BY_NUMBER[code.number] = code;
            }
        }
    }

    private final int number;
    private final String text;

    Code(int number, String text) {
        this.number = number;
        this.text = text;
    }

    /**
     * The code's number in the wire contract.
     *
     * @return the number; -1 for {@link #UNRECOGNIZED}
     */
    public int number() {
        return number;
    }

    static Code of(int number) {
        return number >= 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : UNRECOGNIZED;
    }

    /** Names a number in a person's words. */
    static String describe(int number) {
        Code code = of(number);
        return code == UNRECOGNIZED ? code.text + " " + number : code.text;
    }
}
