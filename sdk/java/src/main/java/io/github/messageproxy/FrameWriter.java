package io.github.messageproxy;

import io.grpc.stub.ClientCallStreamObserver;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.Lock;
import java.util.function.Supplier;

/**
 * Writes frames to a call, one after another, by whatever thread has something to send or hears that the call is ready
 * again. A frame is made when the one before has left for the network; what gathers meanwhile makes up the next one,
 * and what comes alone goes at once.
 *
 * @param <T> the requests of the call
 */
final class FrameWriter<T> {
    /** What to do with the call next. Runs without the lock. */
    interface Frame<T> {
        void writeTo(ClientCallStreamObserver<T> call);
    }

    private final Lock mu;
    private final ClientCallStreamObserver<T> call;
    /** Called with the lock held. Gives null when there is nothing to write. */
    private final Supplier<Frame<T>> next;
    private final Executor executor;
    /** A thread is writing, or about to, and will look again before it stops. Guarded by mu. */
    private boolean writing;

    FrameWriter(Lock mu, ClientCallStreamObserver<T> call, Executor executor, Supplier<Frame<T>> next) {
        this.mu = mu;
        this.call = call;
        this.executor = executor;
        this.next = next;
    }

    /** Writes what there is, unless the call isn't ready, which then tells. Called without the lock. */
    void write() {
        mu.lock();
        try {
            if (writing) {
                return;
            }
            writing = true;
        } finally {
            mu.unlock();
        }
        run();
    }

    /**
     * As write, by another thread: until that has begun, more can gather. That makes larger frames, which cost less,
     * where a caller has much to send.
     */
    void writeSoon() {
        mu.lock();
        try {
            if (writing || !call.isReady()) {
                return;
            }
            writing = true;
        } finally {
            mu.unlock();
        }
        executor.execute(this::run);
    }

    private void run() {
        while (true) {
            Frame<T> frame;
            mu.lock();
            try {
                frame = call.isReady() ? next.get() : null;
                writing = frame != null;
            } finally {
                mu.unlock();
            }
            if (frame == null) {
                return;
            }
            try {
                frame.writeTo(call);
            } catch (RuntimeException e) {
                // The call was cancelled meanwhile, or must be: its observer hears of it, and no more is written.
                call.cancel("a frame could not be written", e);
                return;
            }
        }
    }
}
