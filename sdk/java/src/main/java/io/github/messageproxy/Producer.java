package io.github.messageproxy;

import io.github.messageproxy.Pending.Place;
import io.github.messageproxy.v1.ProduceResult;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Takes messages over, has them sent on one stream at a time, and tells the callers what became of them. It has no
 * thread of its own: callers write, or whoever hears that the stream is ready again. {@code mu} guards all state, and
 * is never held while a future is completed or gRPC is called.
 */
final class Producer {
    /** How long a closing side waits for the server to end a stream that has nothing left to say. */
    private static final long CLOSE_TIMEOUT_MILLIS = 1000;

    private final ClientConfig config;
    private final Threads threads;
    private final Connection connection;

    final ReentrantLock mu = new ReentrantLock();
    private final Condition roomy = mu.newCondition();
    private final Backoff retry;
    private final FlushGroups flushes = new FlushGroups();
    /** What has no room yet, in order. */
    private final PendingList waiting = new PendingList();
    /** What was taken over and is not on the wire, in order. */
    private final PendingList queue = new PendingList();
    /** What is taken over and not off yet. */
    private int outstandingMessages;
    private long outstandingBytes;
    /** The stream in use, or null. */
    private ProduceStream stream;
    /** A stream is in use, about to be opened, or waited for. */
    private boolean busy;
    /** The wait for the next stream, or null. */
    private Future<?> reopening;
    /** Why there is no stream, or null. */
    private MessageProxyException trouble;
    private boolean closed;

    Producer(ClientConfig config, Threads threads) {
        this.config = config;
        this.threads = threads;
        this.connection = new Connection(config, threads.pool());
        this.retry = new Backoff(config.minBackoff, config.maxBackoff);
    }

    /** Takes a message over, or has it wait for room. */
    CompletableFuture<Receipt> produce(OutgoingMessage message, Duration timeout) {
        if (message == null) {
            return CompletableFuture.failedFuture(OutgoingMessage.invalid("it is null"));
        }
        long size = message.size();
        MessageProxyException invalid = message.validate(size, config.maxMessageBytes);
        if (invalid != null) {
            return CompletableFuture.failedFuture(invalid);
        }
        Pending m = new Pending(this, message, size);
        boolean open;
        ProduceStream writer;
        boolean alone;
        mu.lock();
        try {
            if (closed) {
                return CompletableFuture.failedFuture(new ClosedException());
            }
            if (timeout != null && (timeout.isNegative() || timeout.isZero())) {
                return CompletableFuture.failedFuture(withTrouble(new TimeoutException(notSent("timed out"))));
            }
            flushes.join(m);
            if (waiting.isEmpty() && fits(m.size)) {
                enqueue(m);
            } else {
                m.place = Place.WAITING;
                waiting.addLast(m);
            }
            if (timeout != null) {
                m.timer = threads.after(Backoff.nanos(timeout), () -> expire(m, timeout));
            }
            open = beginOpening();
            writer = m.place == Place.QUEUED ? stream : null;
            alone = writer != null && writer.isQuiet();
        } finally {
            mu.unlock();
        }
        if (open) {
            threads.execute(this::open);
        } else if (writer != null) {
            writer.writeNew(alone);
        }
        return m.future;
    }

    /** Queues a message that has room. Called with the lock held. */
    private void enqueue(Pending m) {
        outstandingMessages++;
        outstandingBytes += m.size;
        m.place = Place.QUEUED;
        queue.addLast(m);
    }

    /** Moves what has got room into the queue. Called with the lock held. */
    private void admit() {
        for (Pending m = waiting.first(); m != null && fits(m.size); m = waiting.first()) {
            waiting.remove(m);
            enqueue(m);
        }
        if (hasRoom()) {
            roomy.signalAll();
        }
    }

    private boolean fits(long size) {
        return outstandingMessages == 0 || (outstandingMessages < config.outstandingMessages
                && outstandingBytes + size <= config.outstandingBytes);
    }

    private boolean hasRoom() {
        return waiting.isEmpty() && outstandingMessages < config.outstandingMessages
                && outstandingBytes < config.outstandingBytes;
    }

    /** Notes that nothing will come of a message any more from any stream. Called with the lock held. */
    private void off(Pending m) {
        if (m.place != Place.WAITING) {
            outstandingMessages--;
            outstandingBytes -= m.size;
        }
        m.off();
    }

    void awaitRoom() throws InterruptedException {
        mu.lockInterruptibly();
        try {
            while (!closed && !hasRoom()) {
                roomy.await();
            }
            if (closed) {
                throw new ClosedException();
            }
        } finally {
            mu.unlock();
        }
    }

    CompletableFuture<Void> flush() {
        mu.lock();
        try {
            return closed ? CompletableFuture.failedFuture(new ClosedException()) : flushes.seal();
        } finally {
            mu.unlock();
        }
    }

    void cancel(Pending m) {
        end(m, "the call was cancelled", new CancellationException(notSentText("cancelled")));
    }

    private void expire(Pending m, Duration timeout) {
        end(m, "the timeout of " + timeout + " was over",
                new TimeoutException(notSentText("timed out after " + timeout)));
    }

    private String notSentText(String why) {
        mu.lock();
        try {
            return notSent(why);
        } finally {
            mu.unlock();
        }
    }

    private String notSent(String why) {
        return "the message was not sent: " + why
                + (trouble == null ? "" : " (no connection to the proxy: " + trouble.getMessage() + ")");
    }

    private <E extends Throwable> E withTrouble(E error) {
        if (trouble != null) {
            error.initCause(trouble);
        }
        return error;
    }

    /**
     * Ends a call for its caller. What was never put on the wire is withdrawn; otherwise its room stays taken until the
     * server answers or the stream ends.
     */
    private void end(Pending m, String why, Exception withdrawn) {
        List<Pending> told = new ArrayList<>(1);
        mu.lock();
        try {
            if (m.answered) {
                return;
            }
            if (m.place == Place.ON_WIRE) {
                m.answer(null, Errors.unknownOutcome(why + " before the server answered", null));
            } else {
                (m.place == Place.WAITING ? waiting : queue).remove(m);
                off(m);
                admit(); // it may have been too large where the next ones fit
                m.answer(null, withTrouble(withdrawn));
            }
            told.add(m);
        } finally {
            mu.unlock();
        }
        tell(told);
        write();
    }

    private void write() {
        mu.lock();
        ProduceStream writer = stream;
        mu.unlock();
        if (writer != null) {
            writer.write();
        }
    }

    /** Tells callers the outcomes, which are decided. Called without the lock. */
    private void tell(List<Pending> answered) {
        if (answered.isEmpty()) {
            return;
        }
        for (Pending m : answered) {
            if (m.timer != null) {
                m.timer.cancel(false);
            }
            if (m.error == null) {
                m.future.complete(m.receipt);
            } else {
                m.future.completeExceptionally(m.error);
            }
        }
        List<CompletableFuture<Void>> flushed = new ArrayList<>(0);
        mu.lock();
        try {
            for (Pending m : answered) {
                CompletableFuture<Void> done = flushes.leave(m);
                if (done != null) {
                    flushed.add(done);
                }
            }
        } finally {
            mu.unlock();
        }
        flushed.forEach(done -> done.complete(null));
    }

    /** Whether a stream is to be opened now, which it then is. Called with the lock held. */
    private boolean beginOpening() {
        if (busy || closed || queue.isEmpty()) {
            return false;
        }
        busy = true;
        return true;
    }

    private void open() {
        ProduceStream opened = new ProduceStream(this);
        mu.lock();
        try {
            if (closed) {
                return;
            }
            stream = opened;
        } finally {
            mu.unlock();
        }
        connection.open(opened);
    }

    /** Where frames are written. */
    Executor writers() {
        return threads::execute;
    }

    /** The stream's connection stands. */
    void connected() {
        mu.lock();
        try {
            trouble = null;
        } finally {
            mu.unlock();
        }
    }

    /** Takes from the queue what has gathered, up to a frame's size. Called with the lock held. */
    List<Pending> takeFrame(int maxBytes, int perMessageBytes) {
        List<Pending> frame = new ArrayList<>();
        long bytes = 0;
        for (Pending m = queue.first(); m != null && bytes < maxBytes; m = queue.first()) {
            queue.remove(m);
            m.place = Place.ON_WIRE;
            frame.add(m);
            bytes += m.size + perMessageBytes;
        }
        return frame;
    }

    /** Whether a stream is the one in use. Called with the lock held. */
    boolean uses(ProduceStream candidate) {
        return stream == candidate;
    }

    boolean closedLocked() {
        return closed;
    }

    /** Takes what the server answered on a stream. */
    void answered(ProduceStream from, List<ProduceResult> results) {
        List<Pending> told = new ArrayList<>(results.size());
        boolean more;
        mu.lock();
        try {
            for (ProduceResult result : results) {
                Pending m = from.takeUnanswered(result.getSequence());
                if (m == null) {
                    continue; // not awaited
                }
                off(m);
                if (!m.answered) {
                    m.answer(result);
                    told.add(m);
                }
            }
            admit();
            more = queue.first() != null;
        } finally {
            mu.unlock();
        }
        if (more) {
            from.write(); // what got room goes first: whoever is told may take long
        }
        tell(told);
    }

    /**
     * Decides what becomes of the messages that a stream leaves unanswered, and has the next one opened. After
     * SHUTTING_DOWN they were certainly not stored, and go out again, in order and before all others; otherwise nobody
     * knows. What trying again won't help fails everything else that isn't on the wire, what waits for room too.
     */
    void ended(ProduceStream lost, MessageProxyException reason) {
        List<Pending> told = new ArrayList<>();
        mu.lock();
        try {
            if (stream != lost) {
                return; // it was told before
            }
            stream = null;
            trouble = reason;
            if (lost.progressed()) {
                retry.reset();
            }
            List<Pending> again = new ArrayList<>();
            for (Pending m : lost.takeUnanswered()) {
                if (reason.code() == Code.SHUTTING_DOWN && !closed && !m.answered) {
                    again.add(m);
                    continue;
                }
                off(m);
                if (!m.answered) {
                    m.answer(null, Errors.unknownOutcome("the stream was lost before the server answered", reason));
                    told.add(m);
                }
            }
            for (int i = again.size() - 1; i >= 0; i--) {
                again.get(i).place = Place.QUEUED;
                queue.addFirst(again.get(i));
            }
            if (Errors.endsForGood(reason)) {
                failAll(queue, reason, told);
                failAll(waiting, reason, told);
            }
            admit();
            if (!closed) {
                reopening = threads.after(retry.next(), this::reopen);
            }
        } finally {
            mu.unlock();
        }
        tell(told);
        if (!lost.closing()) {
            String next = Errors.endsForGood(reason) ? ": " : "; connecting again: ";
            config.log.warning("can't produce" + next + reason.getMessage());
        }
    }

    private void reopen() {
        boolean open;
        mu.lock();
        try {
            reopening = null;
            busy = false;
            open = beginOpening();
        } finally {
            mu.unlock();
        }
        if (open) {
            open();
        }
    }

    /** Answers with an error all that is in a list of what isn't on the wire. Called with the lock held. */
    private void failAll(PendingList list, Exception error, List<Pending> told) {
        for (Pending m = list.first(); m != null; m = list.first()) {
            list.remove(m);
            off(m);
            m.answer(null, error);
            told.add(m);
        }
    }

    /** Ends the producer: what is unanswered is answered now. May be called twice. */
    void close() {
        List<Pending> told = new ArrayList<>();
        ProduceStream last;
        mu.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            last = stream;
            if (reopening != null) {
                reopening.cancel(false);
            }
            failAll(queue, new ClosedException(), told);
            failAll(waiting, new ClosedException(), told);
            for (Pending m : last == null ? List.<Pending>of() : last.unanswered()) {
                if (!m.answered) { // it is off when the stream ends
                    m.answer(null, Errors.unknownOutcome(
                            "the client was closed before the server answered", new ClosedException()));
                    told.add(m);
                }
            }
            roomy.signalAll();
        } finally {
            mu.unlock();
        }
        tell(told);
        if (last != null) {
            last.write(); // half-closes it
            awaitEnd(last);
        }
        connection.close();
    }

    private static void awaitEnd(ProduceStream stream) {
        if (!stream.isOpen()) {
            return; // it may be connecting
        }
        try {
            stream.ended().get(CLOSE_TIMEOUT_MILLIS, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (java.util.concurrent.ExecutionException | TimeoutException e) {
            // It is cut.
        }
    }
}
