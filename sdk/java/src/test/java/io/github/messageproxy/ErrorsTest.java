package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

class ErrorsTest {
    @Test
    void theStatusOfAStreamCountsWhateverItsCauseIs() {
        ofStream(Code.BROKER_UNAVAILABLE, Status.UNAVAILABLE.withCause(Status.UNIMPLEMENTED.asRuntimeException()));
        ofStream(Code.UNAUTHENTICATED, Status.UNAUTHENTICATED.withCause(Status.UNAVAILABLE.asRuntimeException()));
        ofStream(Code.BROKER_UNAVAILABLE, Status.CANCELLED.withCause(Status.PERMISSION_DENIED.asRuntimeException()));
    }

    @Test
    void aResponseThatCannotBeDecodedIsInternal() {
        Status undecodable = Status.INTERNAL.withDescription("Invalid protobuf byte sequence")
                .withCause(new InvalidProtocolBufferException("truncated"));
        MessageProxyException e = ofStream(Code.INTERNAL, Status.CANCELLED.withDescription("Failed to read message.")
                .withCause(undecodable.asRuntimeException()));
        assertTrue(e.retryable());
        assertTrue(e.getMessage().contains("truncated"), e.getMessage());
    }

    private static MessageProxyException ofStream(Code expected, Status status) {
        MessageProxyException e = Errors.ofStream(status.asRuntimeException());
        assertEquals(expected, e.code(), e.getMessage());
        return e;
    }
}
