package io.github.messageproxy;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.concurrent.CompletionException;

/** Makes errors of what the server and gRPC say, and tells what follows from them. */
final class Errors {
    private static final int LONGEST_TEXT = 500;

    private Errors() {}

    static MessageProxyException of(Code code, String message, boolean retryable) {
        return new MessageProxyException(code, message, retryable);
    }

    static MessageProxyException badOption(String option, String why) {
        return of(Code.INVALID_ARGUMENT, option + ": " + why, false);
    }

    /** The error of a message that was put on the wire and never answered. */
    static MessageProxyException unknownOutcome(String message, Throwable cause) {
        return new MessageProxyException(Code.UNKNOWN_OUTCOME.number(), message, true, List.of(), cause);
    }

    /** Codes that this version doesn't know keep their number. */
    static MessageProxyException fromWire(io.github.messageproxy.v1.Error error) {
        return new MessageProxyException(
                error.getCodeValue(), error.getMessage(), error.getRetryable(), error.getMessageIdsList(), null);
    }

    /**
     * Why a stream ended that had no terminal error: the error among its status's details if the server put one there,
     * else one made of the status alone.
     */
    static MessageProxyException ofStream(Throwable thrown) {
        com.google.rpc.Status details = detailsOf(thrown);
        if (details != null) {
            for (Any detail : details.getDetailsList()) {
                if (detail.is(io.github.messageproxy.v1.Error.class)) {
                    try {
                        return fromWire(detail.unpack(io.github.messageproxy.v1.Error.class));
                    } catch (InvalidProtocolBufferException e) {
                        break; // the status is still there
                    }
                }
            }
        }
        Status status = Status.fromThrowable(thrown);
        // gRPC cancels a call whose response it can't decode.
        if (status.getCode() == Status.Code.CANCELLED
                && status.getCause() instanceof StatusRuntimeException cause
                && cause.getStatus().getCause() instanceof InvalidProtocolBufferException) {
            status = cause.getStatus();
        }
        return ofStatus(status);
    }

    /** The details of a status, or null. */
    private static com.google.rpc.Status detailsOf(Throwable thrown) {
        try {
            return StatusProto.fromThrowable(thrown);
        } catch (RuntimeException e) {
            return null; // they are not what they should be; the status is still there
        }
    }

    private static MessageProxyException ofStatus(Status status) {
        String message = status.getDescription() == null
                ? status.getCode().toString()
                : firstLine(status.getDescription());
        if (status.getCause() != null) {
            message += ": " + shortText(status.getCause());
        }
        return switch (status.getCode()) {
            case INVALID_ARGUMENT -> of(Code.INVALID_ARGUMENT, message, false);
            case UNAUTHENTICATED -> of(Code.UNAUTHENTICATED, message, false);
            case PERMISSION_DENIED -> of(Code.PERMISSION_DENIED, message, false);
            case UNIMPLEMENTED -> of(Code.UNSUPPORTED, message, false);
            case RESOURCE_EXHAUSTED -> of(Code.RESOURCE_EXHAUSTED, message, true);
            case INTERNAL -> of(Code.INTERNAL, message, true);
            default -> of(Code.BROKER_UNAVAILABLE, message, true);
        };
    }

    /** Why a stream ended that the server ended with OK and without a terminal error. */
    static MessageProxyException endOfStream() {
        return of(Code.BROKER_UNAVAILABLE, "the server ended the stream", true);
    }

    /**
     * Whether a stream that ended with an error would only end with it again. Some codes decide that whatever the
     * server says; the others by their retryable.
     */
    static boolean endsForGood(MessageProxyException error) {
        return switch (error.code()) {
            case INVALID_ARGUMENT, TOPIC_NOT_FOUND, PARTITION_NOT_FOUND, SUBSCRIPTION_CONFLICT, UNAUTHENTICATED,
                    PERMISSION_DENIED, UNSUPPORTED -> true;
            case SHUTTING_DOWN, BROKER_UNAVAILABLE, CONSUME_FAILED, ACK_FAILED, ACK_TIMEOUT, RESOURCE_EXHAUSTED,
                    INTERNAL -> false;
            default -> !error.retryable();
        };
    }

    /** A throwable of any kind in a line. */
    static String shortText(Throwable thrown) {
        String text;
        try {
            text = thrown.getMessage();
        } catch (Throwable e) { // it may be the application's code
            text = null;
        }
        if (text == null || text.isBlank()) {
            text = thrown.getClass().getName();
        }
        text = text.strip().replaceAll("\\s+", " ");
        return text.length() <= LONGEST_TEXT ? text : text.substring(0, LONGEST_TEXT) + "…";
    }

    /** gRPC's descriptions go on with a netty pipeline in the second line. */
    private static String firstLine(String text) {
        return text.lines().findFirst().orElse("");
    }

    /** Throws what can be thrown anywhere as it is, and anything else in a CompletionException. */
    static void throwUnchecked(Throwable thrown) {
        if (thrown instanceof RuntimeException e) {
            throw e;
        }
        if (thrown instanceof Error e) {
            throw e;
        }
        throw new CompletionException(thrown);
    }
}
