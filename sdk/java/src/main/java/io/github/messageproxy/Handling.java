package io.github.messageproxy;

import java.util.concurrent.Future;

/**
 * What becomes of a message from when its handler begins. The consumer's lock guards it, but for what its runner alone
 * uses.
 */
final class Handling {
    final Lanes.Lane lane;
    final Lanes.Task task;
    final long began = System.nanoTime();
    private Backoff retry; // once it has failed; its runner's
    int attempt = 1;
    HandlerCall call = new HandlerCall();
    boolean cancelled; // it was told to end, or is about to be
    Future<?> waiting; // for the next attempt; or null

    Handling(Lanes.Lane lane, Lanes.Task task) {
        this.lane = lane;
        this.task = task;
    }

    long nextWait(ConsumeOptions options) {
        if (retry == null) {
            retry = new Backoff(options.minRetryBackoff, options.maxRetryBackoff);
        }
        return retry.next();
    }
}
