package io.github.messageproxy;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Exponential back-off with full jitter: each wait is uniform between zero and a limit that doubles from a minimum to a
 * maximum. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Not for several threads
 * at once.
 */
final class Backoff {
    private static final Duration LONGEST = Duration.ofNanos(Long.MAX_VALUE / 2);

    private final long min;
    private final long max;
    private long limit;

    Backoff(Duration min, Duration max) {
        this.min = nanos(min);
        this.max = nanos(max);
    }

    /** How long to wait now, in nanoseconds. */
    long next() {
        long doubled = limit > max / 2 ? max : 2 * limit; // which can't overflow
        limit = Math.min(Math.max(doubled, min), max);
        return limit == 0 ? 0 : ThreadLocalRandom.current().nextLong(limit + 1);
    }

    /** Makes the next wait a short one again. */
    void reset() {
        limit = 0;
    }

    /** A duration in nanoseconds; what is too long for that (146 years and more) becomes 146 years. */
    static long nanos(Duration duration) {
        if (duration.compareTo(LONGEST) > 0) {
            return LONGEST.toNanos();
        }
        return duration.compareTo(LONGEST.negated()) < 0 ? -LONGEST.toNanos() : duration.toNanos();
    }
}
