package io.github.messageproxy;

/**
 * A handler failed with a message for good, and the consumer stopped because of it. Its {@linkplain #getCause() cause}
 * is what the handler threw last. See {@link ConsumeOptions.Builder#failureHandler} for other ways to go on.
 */
public final class HandlerException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The message; lost when the exception is serialized. */
    private final transient Message failedMessage;

    /** How often the handler was called. */
    private final int attempts;

    HandlerException(Message message, int attempts, Throwable cause) {
        super("the handler failed " + attempts + " times with message " + message.id() + " of " + message.topic() + "/"
                + message.partition() + ": " + Errors.shortText(cause), cause);
        this.failedMessage = message;
        this.attempts = attempts;
    }

    /**
     * The message, which is not ACKed: it is delivered again, here or elsewhere.
     *
     * @return the message
     */
    public Message failedMessage() {
        return failedMessage;
    }

    /**
     * How often the handler was called with the message.
     *
     * @return the number of calls
     */
    public int attempts() {
        return attempts;
    }
}
