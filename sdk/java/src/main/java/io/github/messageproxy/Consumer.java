package io.github.messageproxy;

import java.util.concurrent.CompletableFuture;

/**
 * One call of {@link Subscription#consume}: a member of the subscription, from then until it ends. All methods may be
 * called concurrently.
 */
public interface Consumer extends AutoCloseable {
    /**
     * Asks the consumer to stop in good order, and returns at once: it begins no more handlers, waits for those that
     * run ({@link ConsumeOptions.Builder#drainTimeout}), sends their ACKs, and leaves. May be called twice, and from a
     * handler.
     *
     * @return as {@link #completion()}
     */
    CompletableFuture<Void> stop();

    /**
     * Tells how the consumer ended, when it has: normally if it was asked to stop; else with {@link HandlerException},
     * what the {@link FailureHandler} threw, {@link ClosedException}, {@link MessageProxyException} for an error that
     * trying again won't help, or {@link HandlersRunningException}. The future is the caller's own: completing or
     * cancelling it has no effect on the consumer. Each call makes another future, which the consumer keeps until it
     * has ended: who wants to look often keeps one.
     *
     * @return a future that completes when the consumer has ended
     */
    CompletableFuture<Void> completion();

    /**
     * Stops the consumer and waits until it has ended, which takes the drain timeout and 6 s at most. Must not be
     * called from a handler, for which it would wait; use {@link #stop()} there. If the thread is interrupted it stops
     * waiting, and stays interrupted.
     *
     * @throws RuntimeException or an error, with which the consumer ended, as {@link #completion()} tells; an exception
     *     of a {@link FailureHandler} that isn't one is wrapped in a {@link java.util.concurrent.CompletionException}
     */
    @Override
    void close();
}
