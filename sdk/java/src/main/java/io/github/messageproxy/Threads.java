package io.github.messageproxy;

import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The threads of a client: daemons, as many as there is work, each of which ends when it has had none for a few
 * seconds. So nothing has to be shut down, and what is left of a closed client (handlers that didn't return) can still
 * end.
 */
final class Threads {
    private static final long IDLE_SECONDS = 5;

    private final ThreadPoolExecutor pool;
    private final ScheduledThreadPoolExecutor timers;

    Threads() {
        pool = new ThreadPoolExecutor(0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS,
                new SynchronousQueue<>(), daemons("messageproxy-"));
        timers = new ScheduledThreadPoolExecutor(1, daemons("messageproxy-timer-"));
        timers.setRemoveOnCancelPolicy(true);
        timers.setKeepAliveTime(IDLE_SECONDS, TimeUnit.SECONDS);
        timers.allowCoreThreadTimeOut(true);
    }

    private static ThreadFactory daemons(String prefix) {
        ThreadFactory threads = Executors.defaultThreadFactory();
        AtomicInteger count = new AtomicInteger();
        return task -> {
            Thread thread = threads.newThread(task);
            thread.setDaemon(true);
            thread.setName(prefix + count.incrementAndGet());
            return thread;
        };
    }

    Executor pool() {
        return pool;
    }

    /** Runs a task in the pool later. */
    ScheduledFuture<?> after(long nanos, Runnable task) {
        return timers.schedule(() -> pool.execute(task), nanos, TimeUnit.NANOSECONDS);
    }

    /** Runs a task on somebody's executor; tells whether that took it. */
    static boolean execute(Executor executor, Runnable task) {
        try {
            executor.execute(task);
            return true;
        } catch (RejectedExecutionException e) {
            return false;
        }
    }
}
