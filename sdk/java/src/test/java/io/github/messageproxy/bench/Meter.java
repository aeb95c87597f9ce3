package io.github.messageproxy.bench;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Measures from the last message of the warm-up to the last message of all. May be used concurrently. */
final class Meter {
    /** What came of a load. */
    record Result(long messages, double seconds, long done) {}

    private final long warmup;
    private final long all;
    private final AtomicLong total = new AtomicLong();
    private final CompletableFuture<Long> begun = new CompletableFuture<>(); // when, in nanoseconds
    private final CompletableFuture<Long> ended = new CompletableFuture<>();

    Meter(long warmup, long messages) {
        this.warmup = warmup;
        this.all = warmup + messages;
        if (warmup == 0) {
            begin();
        }
    }

    private void begin() {
        System.out.println("{\"measuring\": true}");
        begun.complete(System.nanoTime());
    }

    /** A message is done. */
    void done() {
        long after = total.incrementAndGet();
        if (after == warmup) {
            begin();
        }
        if (after == all) {
            ended.complete(System.nanoTime());
        }
    }

    /** A message could not be produced. */
    void fail(Throwable error) {
        ended.completeExceptionally(error);
    }

    /** The consumer has ended, which is too early unless the measurement is over. */
    void consumerEnded(Throwable error) {
        fail(new IllegalStateException("the consumer has ended", error));
    }

    void awaitEnd() throws InterruptedException, ExecutionException {
        ended.get();
        begun.get(); // by another thread, perhaps
    }

    long total() {
        return total.get();
    }

    /** The result of a measurement that is over. */
    Result result() {
        double seconds = (double) (ended.join() - begun.join()) / TimeUnit.SECONDS.toNanos(1);
        return new Result(all - warmup, seconds, total());
    }
}
