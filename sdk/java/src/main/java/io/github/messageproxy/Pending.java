package io.github.messageproxy;

import io.github.messageproxy.v1.MessageReceipt;
import io.github.messageproxy.v1.ProduceResult;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;

/**
 * A message that was given to the client to produce, and the future of its outcome. It belongs to its producer, whose
 * lock guards it.
 */
final class Pending {
    /** Where a message is. */
    enum Place {
        /** It waits for room. */
        WAITING,
        /** It is in the queue: taken over, and not on the wire. */
        QUEUED,
        /** It was given to a stream and may have reached the server. */
        ON_WIRE,
        /** Nothing will come of it any more from any stream; its room is free. */
        OFF
    }

    private OutgoingMessage message; // null once nothing will come of it any more
    final long size;
    final Outcome future;
    Place place;
    FlushGroups.Group group;
    Future<?> timer; // ends the call; or null

    /** The outcome is decided, and told or about to be: one of receipt and error is set. */
    boolean answered;
    Receipt receipt;
    Throwable error;

    Pending previous; // in a PendingList
    Pending next;

    Pending(Producer producer, OutgoingMessage message, long size) {
        this.message = message;
        this.size = size;
        this.future = new Outcome(producer, this);
    }

    OutgoingMessage message() {
        return message;
    }

    /** Nothing will come of the message any more: callers that keep its future shouldn't keep it too. */
    void off() {
        place = Place.OFF;
        message = null;
    }

    void answer(ProduceResult result) {
        if (result.hasReceipt()) {
            MessageReceipt stored = result.getReceipt();
            answer(new Receipt(stored.getMessageId(), stored.getPartition(),
                    Instant.ofEpochMilli(stored.getTimestampMs())), null);
        } else if (result.hasError()) {
            answer(null, Errors.fromWire(result.getError()));
        } else {
            answer(null, Errors.unknownOutcome(
                    "the server's answer is of a kind that this version doesn't know", null));
        }
    }

    void answer(Receipt receipt, Throwable error) {
        this.answered = true;
        this.receipt = receipt;
        this.error = error;
    }

    /** What the caller gets. */
    static final class Outcome extends CompletableFuture<Receipt> {
        private final Producer producer;
        private final Pending pending;

        Outcome(Producer producer, Pending pending) {
            this.producer = producer;
            this.pending = pending;
        }

        @Override
        public boolean cancel(boolean mayInterruptIfRunning) {
            producer.cancel(pending);
            return isCancelled();
        }

        /** Stages made of this future can't withdraw the message. */
        @Override
        public <U> CompletableFuture<U> newIncompleteFuture() {
            return new CompletableFuture<>();
        }
    }
}
