package io.github.messageproxy;

import java.util.ArrayList;
import java.util.List;

/** One call of a handler, on the thread that made it. */
final class HandlerCall implements HandlerContext {
    /** What the handlers are told by. */
    interface Body {
        void run(HandlerContext context) throws Exception;
    }

    private Thread thread; // of the handler while it runs; guarded by this
    private boolean cancelled; // guarded by this
    private boolean interrupted; // by cancel; guarded by this
    private List<Runnable> actions; // null when there are none; guarded by this

    /** Runs the handler on this thread, and returns what it threw, or null. */
    Throwable run(Body body) {
        Thread.interrupted(); // an interrupt that another message's handler left behind isn't meant for this one
        synchronized (this) {
            thread = Thread.currentThread();
            interruptIfCancelled();
        }
        try {
            body.run(this);
            return null;
        } catch (Throwable thrown) { // an error of an assertion or of a library is the handler's failure too
            return thrown;
        } finally {
            finish();
        }
    }

    /** The thread belongs to others again: an interrupt that was meant for the handler isn't left behind. */
    private synchronized void finish() {
        thread = null;
        actions = null;
        if (interrupted) {
            Thread.interrupted();
        }
    }

    private void interruptIfCancelled() {
        if (cancelled && thread != null && !interrupted) {
            interrupted = true;
            thread.interrupt();
        }
    }

    /** Tells the handler to end. Called without the consumer's lock. Returns what is to be run. */
    List<Runnable> cancel() {
        synchronized (this) {
            if (cancelled) {
                return List.of();
            }
            cancelled = true;
            interruptIfCancelled();
            List<Runnable> due = actions == null ? List.of() : actions;
            actions = null;
            return due;
        }
    }

    @Override
    public synchronized boolean isCancelled() {
        return cancelled;
    }

    @Override
    public void onCancel(Runnable action) {
        synchronized (this) {
            if (!cancelled) {
                if (thread != null) { // else the handler has returned
                    if (actions == null) {
                        actions = new ArrayList<>(1);
                    }
                    actions.add(action);
                }
                return;
            }
        }
        action.run();
    }
}
