package io.github.messageproxy;

import java.util.List;

/**
 * An error that the server sent, or that the client found in the server's place. {@link #code()} tells its kind.
 *
 * <p>Of {@link Client#produce produce}, {@link Code#UNKNOWN_OUTCOME} says that the message may be stored; any other
 * error, of this class or another, says that it certainly is not and never will be.
 */
public final class MessageProxyException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The number, as an unknown code has one too. */
    private final int codeNumber;

    /** Whether the same call can succeed later. */
    private final boolean retryable;

    /** An immutable list. */
    private final transient List<String> messageIds;

    /**
     * Makes an error, as a test of an application may need one.
     *
     * @param code what kind of error it is
     * @param message for a person: what happened and what to do
     * @param retryable whether the same call can succeed later
     */
    public MessageProxyException(Code code, String message, boolean retryable) {
        this(code.number(), message, retryable, List.of(), null);
    }

    MessageProxyException(int codeNumber, String message, boolean retryable, List<String> messageIds, Throwable cause) {
        super(text(codeNumber, message, cause), cause);
        this.codeNumber = codeNumber;
        this.retryable = retryable;
        this.messageIds = List.copyOf(messageIds);
    }

    private static String text(int codeNumber, String message, Throwable cause) {
        StringBuilder text = new StringBuilder(Code.describe(codeNumber));
        if (message != null && !message.isEmpty()) {
            text.append(": ").append(message);
        }
        if (cause != null) {
            text.append(": ").append(Errors.shortText(cause));
        }
        return text.toString();
    }

    /**
     * What kind of error it is.
     *
     * @return the code; {@link Code#UNRECOGNIZED} for those that this version doesn't know
     */
    public Code code() {
        return Code.of(codeNumber);
    }

    /**
     * The code's number in the wire contract, also where this version doesn't know the code.
     *
     * @return the number
     */
    public int codeNumber() {
        return codeNumber;
    }

    /**
     * Whether the same call can succeed later.
     *
     * @return whether it can
     */
    public boolean retryable() {
        return retryable;
    }

    /**
     * The IDs of the messages that the error is about, if it is about some; at most 1,000.
     *
     * @return the IDs; immutable, never null
     */
    public List<String> messageIds() {
        return messageIds == null ? List.of() : messageIds; // null after deserialization
    }
}
