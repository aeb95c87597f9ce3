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

    private final ClientCallStreamObserver<T> call;
    /** Gives null when there is nothing to write. Called by one thread at a time. */
    private final Supplier<Frame<T>> next;
    private final Executor executor;
    /** How often writing was asked for since the writer last looked. Above 0: a thread is writing, or about to. */
    private final AtomicInteger asked = new AtomicInteger();

    FrameWriter(ClientCallStreamObserver<T> call, Executor executor, Supplier<Frame<T>> next) {
        this.call = call;
        this.executor = executor;
        this.next = next;
    }

    /** Writes what there is, unless the call isn't ready, which then tells. Called without locks. */
    void write() {
        if (asked.getAndIncrement() == 0) {
            run();
        }
    }

    /**
     * As write, by another thread: until that has begun, more can gather. That makes larger frames, which cost less,
     * where a caller has much to send.
     */
    void writeSoon() {
        if (asked.get() == 0 && !call.isReady()) {
            return;
        }
        if (asked.getAndIncrement() == 0) {
            executor.execute(() -> {
                Thread.yield(); // whoever else has something may go first, and share the frame
                run();
            });
        }
    }

    private void run() {
        int answered = 1;
        do {
            if (!writeAll()) {
                return; // and nobody else writes
            }
            answered = asked.addAndGet(-answered);
        } while (answered > 0);
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
