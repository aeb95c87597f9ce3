package io.github.messageproxy;

import java.time.Duration;

/**
 * The consumer has ended but handlers still run: they didn't return within the {@linkplain
 * ConsumeOptions.Builder#drainTimeout drain timeout}, nor when they were told to end. What they do counts for nothing;
 * their messages are delivered again. The cause is what the consumer stopped for, null if it was asked to.
 */
public final class HandlersRunningException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** How many. */
    private final int running;

    HandlersRunningException(int running, Duration drainTimeout, Throwable cause) {
        super("handlers are still running: " + running + " did not return within the drain timeout of " + drainTimeout
                + (cause == null ? "" : "; the consumer stopped because: " + Errors.shortText(cause)), cause);
        this.running = running;
    }

    /**
     * How many handlers were left behind.
     *
     * @return the number
     */
    public int running() {
        return running;
    }
}
