package io.github.messageproxy;

import java.time.Duration;
import java.util.concurrent.Executor;

/** How a subscription is consumed. Immutable. The defaults are right for most. */
public final class ConsumeOptions implements Cloneable {
    private static final ConsumeOptions DEFAULTS = new ConsumeOptions();

    int maxHandlers; // 0: as many as partitions
    int keyWorkers; // 0: by partition
    int attempts = 5;
    Duration minRetryBackoff = Duration.ofMillis(100);
    Duration maxRetryBackoff = Duration.ofSeconds(10);
    FailureHandler failureHandler; // null: stop
    int maxUnacked; // 0: the server's limit
    Duration ackTimeout = Duration.ZERO; // zero: the server's
    StartPosition start = StartPosition.EARLIEST;
    Duration drainTimeout = Duration.ofSeconds(20);
    Observer observer = event -> {};
    Executor executor; // null: the client's threads

    private ConsumeOptions() {}

    /**
     * Options that are all as they are by default.
     *
     * @return the defaults
     */
    public static ConsumeOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Begins options that differ from the defaults.
     *
     * @return a builder
     */
    public static Builder builder() {
        return new Builder();
    }

    private ConsumeOptions copy() {
        try {
            return (ConsumeOptions) clone();
        } catch (CloneNotSupportedException e) {
            throw new AssertionError(e);
        }
    }

    /**
     * Makes {@link ConsumeOptions}. Each method throws a {@link MessageProxyException} with {@link
     * Code#INVALID_ARGUMENT} that names the option if what it is given is out of range. Not for several threads at
     * once.
     */
    public static final class Builder {
        private final ConsumeOptions options = new ConsumeOptions();

        private Builder() {}

        private static void require(boolean valid, String option, String why) {
            if (!valid) {
                throw Errors.badOption(option, why);
            }
        }

        /**
         * Bounds how many handlers run at once, those that wait to be called again included. Each partition has at most
         * one at a time, so that its order is kept. Default, and 0: one for each partition that has messages.
         *
         * @param n 0 or more
         * @return this builder
         */
        public Builder maxHandlers(int n) {
            require(n >= 0, "maxHandlers", n + " is below 0");
            options.maxHandlers = n;
            return this;
        }

        /**
         * Has n workers handle messages by key instead of by partition: messages with equal keys are handled one after
         * another, in order; others at the same time, n at most; those without a key in no order.
         *
         * <p>Messages may then be handled while earlier ones of their partition are not. A broker that keeps one
         * position for each partition (Kafka) forgets such ACKs when the partition goes to another server, or when the
         * last client leaves: those messages come again, also after a stop in good order.
         *
         * <p>Default, and 0: by partition.
         *
         * @param n 0 or more
         * @return this builder
         */
        public Builder keyWorkers(int n) {
            require(n >= 0, "keyWorkers", n + " is below 0");
            options.keyWorkers = n;
            return this;
        }

        /**
         * Sets how often a handler is called with a message before it has failed for good, and the back-off between the
         * calls: a random time up to a limit that doubles from a minimum to a maximum. All attempts begin within nine
         * tenths of the ACK timeout; when the next one couldn't, the handler has failed for good earlier. Messages that
         * must stay in order wait meanwhile. Default: 5 attempts, 100 ms, 10 s.
         *
         * @param attempts 1 or more
         * @param minBackoff 0 or more
         * @param maxBackoff not below {@code minBackoff}
         * @return this builder
         */
        public Builder attempts(int attempts, Duration minBackoff, Duration maxBackoff) {
            require(attempts >= 1, "attempts", attempts + " attempts: at least 1 is needed");
            require(minBackoff != null && maxBackoff != null && !minBackoff.isNegative()
                            && maxBackoff.compareTo(minBackoff) >= 0,
                    "attempts", minBackoff + " and " + maxBackoff
                            + ": the first must not be below 0, the second not below the first");
            options.attempts = attempts;
            options.minRetryBackoff = minBackoff;
            options.maxRetryBackoff = maxBackoff;
            return this;
        }

        /**
         * Has somebody decide what becomes of a message with which the handler failed for good. Default, and null: the
         * consumer stops and ends with a {@link HandlerException}; the message is not ACKed, so it is delivered again,
         * here or elsewhere.
         *
         * @param failureHandler who decides; {@link FailureHandler#skip()} goes on without the message
         * @return this builder
         */
        public Builder failureHandler(FailureHandler failureHandler) {
            options.failureHandler = failureHandler;
            return this;
        }

        /**
         * Lowers the server's limit of messages that this client holds without having ACKed them, for handlers that are
         * slow or messages that are large. Default, and 0: the server's limit, 1,000 unless configured otherwise.
         *
         * @param n from 0 to 2^31 - 1
         * @return this builder
         */
        public Builder maxUnacked(long n) {
            require(n >= 0 && n <= Integer.MAX_VALUE, "maxUnacked", n + " is not between 0 and 2^31 - 1");
            options.maxUnacked = (int) n;
            return this;
        }

        /**
         * Asks the server for another time that this client may take over its oldest message before it is thrown out;
         * handlers that need longer ask for more. The server has a maximum. Default, and zero: the server's, 60 s
         * unless configured otherwise.
         *
         * @param timeout 0 or more
         * @return this builder
         */
        public Builder ackTimeout(Duration timeout) {
            require(timeout != null && !timeout.isNegative(), "ackTimeout", timeout + " is not 0 or more");
            options.ackTimeout = timeout;
            return this;
        }

        /**
         * Sets where the subscription begins in partitions in which it has no position yet. All clients of a
         * subscription give the same. Default: {@link StartPosition#EARLIEST}.
         *
         * @param start not null
         * @return this builder
         */
        public Builder start(StartPosition start) {
            require(start != null, "start", "it is null");
            options.start = start;
            return this;
        }

        /**
         * Sets how long the consumer, when it stops, waits for running handlers. Then it tells them to end, gives them
         * a second more, and ends with {@link HandlersRunningException} if some still run; they are left behind.
         * Default: 20 s.
         *
         * @param timeout 0 or more
         * @return this builder
         */
        public Builder drainTimeout(Duration timeout) {
            require(timeout != null && !timeout.isNegative(), "drainTimeout", timeout + " is not 0 or more");
            options.drainTimeout = timeout;
            return this;
        }

        /**
         * Has somebody hear what happens to the subscription. Default: nobody.
         *
         * @param observer not null
         * @return this builder
         */
        public Builder observer(Observer observer) {
            require(observer != null, "observer", "it is null");
            options.observer = observer;
            return this;
        }

        /**
         * Sets where handlers run. A task of the executor handles messages one after another until there are none; how
         * many there are at once depends on the partitions and {@link #maxHandlers}. With fewer threads than that,
         * partitions wait for each other. It is called by threads of the client that may wait, so that it may as well
         * run a task on the thread that gives it. If it throws when it is given a task, the consumer stops and ends
         * with a {@link java.util.concurrent.RejectedExecutionException}, whose cause is what was thrown. It isn't shut
         * down by the client. Default, and null: daemon threads of the client, as many as are needed.
         *
         * @param executor where handlers run
         * @return this builder
         */
        public Builder executor(Executor executor) {
            options.executor = executor;
            return this;
        }

        /**
         * Makes the options.
         *
         * @return the options
         */
        public ConsumeOptions build() {
            return options.copy();
        }
    }
}
