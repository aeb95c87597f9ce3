package io.github.messageproxy;

import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
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
        this(daemons("messageproxy-"));
    }

    /** With threads for the pool, as a test may need them. */
    Threads(ThreadFactory poolThreads) {
        pool = new ThreadPoolExecutor(0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS,
                new SynchronousQueue<>(), poolThreads);
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

    /** Runs a task in the pool, or if no thread can be made, on this one: that it is lost would be worse. */
    void execute(Runnable task) {
        try {
            pool.execute(task);
        } catch (RuntimeException | Error e) {
            task.run();
        }
    }

    /** Runs a task in the pool later. */
    ScheduledFuture<?> after(long nanos, Runnable task) {
        return timers.schedule(() -> execute(task), nanos, TimeUnit.NANOSECONDS);
    }
}
