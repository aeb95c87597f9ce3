package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class BackoffTest {
    /** The largest of many waits is near the limit, and none is above. */
    @Test
    void theLimitDoublesFromTheMinimumToTheMaximum() {
        long[] limits = {100, 200, 400, 500, 500};
        long[] largest = new long[limits.length];
        for (int run = 0; run < 10_000; run++) {
            Backoff backoff = new Backoff(Duration.ofNanos(100), Duration.ofNanos(500));
            for (int i = 0; i < limits.length; i++) {
                largest[i] = Math.max(largest[i], backoff.next());
            }
        }
        for (int i = 0; i < limits.length; i++) {
            assertTrue(largest[i] <= limits[i] && largest[i] > limits[i] * 95 / 100, i + ": " + largest[i]);
        }
    }

    @Test
    void resetBeginsAnew() {
        Backoff backoff = new Backoff(Duration.ofNanos(1), Duration.ofDays(1));
        for (int i = 0; i < 40; i++) {
            backoff.next();
        }
        backoff.reset();
        assertTrue(backoff.next() <= 1);
    }

    @Test
    void aDurationThatIsTooLongForNanosecondsBecomesOneThatIsNot() {
        assertTrue(Backoff.nanos(Duration.ofSeconds(Long.MAX_VALUE)) > Duration.ofDays(50_000).toNanos());
        assertTrue(Backoff.nanos(Duration.ofSeconds(Long.MIN_VALUE)) < Duration.ofDays(-50_000).toNanos());
        assertEquals(-1, Backoff.nanos(Duration.ofNanos(-1)));
    }

    @Test
    void noWaitAndForEver() {
        assertEquals(0, new Backoff(Duration.ZERO, Duration.ZERO).next());
        Backoff forEver = new Backoff(Duration.ofSeconds(Long.MAX_VALUE), Duration.ofSeconds(Long.MAX_VALUE));
        assertTrue(forEver.next() >= 0);
        assertTrue(forEver.next() >= 0);
    }
}
