package io.github.messageproxy;

import io.grpc.stub.ClientCallStreamObserver;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * Writes frames to a call, one after another, by whatever thread has something to send or hears that the call is ready
 * again. A frame is made when the one before has left for the network; what gathers meanwhile makes up the next one,
 * and what comes alone goes at once.
 *
 * @param <T> the requests of the call
 */
final class FrameWriter<T> {
    /** What to do with the call next. */
    interface Frame<T> {
        void writeTo(ClientCallStreamObserver<T> call);
    }

    /** Nobody writes. */
    private static final int IDLE = 0;
    /** A thread writes, and may have looked at what there is already. */
    private static final int WRITING = 1;
    /** A thread writes, or is about to, and will look at what there is now. */
    private static final int ASKED = 2;

    private final ClientCallStreamObserver<T> call;
    /** Gives null when there is nothing to write. Called by one thread at a time. */
    private final Supplier<Frame<T>> next;
    private final Executor executor;
    private final AtomicInteger state = new AtomicInteger(IDLE);

    FrameWriter(ClientCallStreamObserver<T> call, Executor executor, Supplier<Frame<T>> next) {
        this.call = call;
        this.executor = executor;
        this.next = next;
    }

    /** Writes what there is, unless the call isn't ready, which then tells. Called without locks. */
    void write() {
        if (ask()) {
            run();
        }
    }

    /**
     * As write, by another thread: until that has begun, more can gather. That makes larger frames, which cost less,
     * where a caller has much to send.
     */
    void writeSoon() {
        if (state.get() == IDLE && !call.isReady()) {
            return;
        }
        if (ask()) {
            executor.execute(() -> {
                Thread.yield(); // whoever else has something may go first, and share the frame
                run();
            });
        }
    }

    /** Tells whether the caller has to write. Where many ask, most only read: that is what makes it cheap. */
    private boolean ask() {
        return state.get() != ASKED && state.getAndSet(ASKED) == IDLE;
    }

    private void run() {
        do {
            state.set(WRITING);
            if (!writeAll()) {
                return; // and nobody else writes
            }
        } while (!state.compareAndSet(WRITING, IDLE));
    }

    /** Tells whether the call still stands. */
    private boolean writeAll() {
        try {
            while (call.isReady()) {
                Frame<T> frame = next.get();
                if (frame == null) {
                    return true;
                }
                frame.writeTo(call);
            }
            return true;
        } catch (Throwable e) {
            // The call was cancelled meanwhile, or must be: its observer hears of it.
            call.cancel("a frame could not be written", e);
            return false;
        }
    }
}
