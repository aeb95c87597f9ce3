package io.github.messageproxy;

import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.SubscribeRequest;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;

/**
 * A consumer: opens one session after another, and has runners call the handler, as many as lanes have messages. {@code
 * mu} guards the state of all of them, and is never held while the application's code runs or gRPC is called. What is
 * done for each message mostly does without it: see {@link Lanes.Lane}, and {@link Session#ack}.
 */
final class ConsumerImpl implements Consumer {
    /** How long handlers have to return once they were told to end. */
    private static final long CANCEL_GRACE = TimeUnit.SECONDS.toNanos(1);
    /** Bounds how long the last ACKs and the end of the stream may take. */
    private static final long LEAVE_TIMEOUT = TimeUnit.SECONDS.toNanos(5);

    private final ClientConfig config;
    private final Threads threads;
    private final String subscription;
    private final List<String> topics;
    private final Handler handler;
    private final ConsumeOptions options;
    private final Connection connection;
    private final CompletableFuture<Void> completion = new CompletableFuture<>();

    final ReentrantLock mu = new ReentrantLock();
    private final Backoff retry;
    private final Lanes lanes;
    private Session session; // or null
    private Future<?> reopening; // the wait for the next session, or null
    private boolean stopping; // no more handlers begin
    private Throwable stopError; // why, or null
    private Future<?> drainTimer; // or null
    private boolean drained; // nobody waits for handlers any more
    private Future<?> leaveTimer; // or null
    private boolean ended;

    ConsumerImpl(ClientConfig config, Threads threads, String subscription, List<String> topics, Handler handler,
            ConsumeOptions options) {
        this.config = config;
        this.threads = threads;
        this.subscription = subscription;
        this.topics = topics;
        this.handler = handler;
        this.options = options;
        this.connection = new Connection(config, threads.pool());
        this.retry = new Backoff(config.minBackoff, config.maxBackoff);
        this.lanes = new Lanes(options.maxHandlers, options.keyWorkers, options.executor != null);
    }

    void start() {
        threads.execute(this::open);
    }

    @Override
    public CompletableFuture<Void> completion() {
        return completion.copy();
    }

    @Override
    public CompletableFuture<Void> stop() {
        stop(null);
        return completion();
    }

    @Override
    public void close() {
        stop(null);
        try {
            completion.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException e) {
            Errors.throwUnchecked(e.getCause());
        }
    }

    // ------------------------------------------------------------ sessions

    private void open() {
        Session opened = new Session(this, subscribeRequest());
        mu.lock();
        try {
            reopening = null;
            if (stopping) {
                return;
            }
            session = opened;
        } finally {
            mu.unlock();
        }
        connection.open(opened);
    }

    private ConsumeRequest subscribeRequest() {
        SubscribeRequest.Builder request = SubscribeRequest.newBuilder()
                .setSubscription(subscription)
                .addAllTopics(topics)
                .setStartPosition(switch (options.start) {
                    case EARLIEST -> io.github.messageproxy.v1.StartPosition.START_POSITION_EARLIEST;
                    case LATEST -> io.github.messageproxy.v1.StartPosition.START_POSITION_LATEST;
                })
                .setClientName(config.name);
        if (options.maxUnacked > 0) {
            request.setMaxUnackedMessages(options.maxUnacked);
        }
        if (!options.ackTimeout.isZero()) {
            request.setAckTimeout(com.google.protobuf.Duration.newBuilder()
                    .setSeconds(options.ackTimeout.getSeconds())
                    .setNanos(options.ackTimeout.getNano()));
        }
        return ConsumeRequest.newBuilder().setSubscribe(request).build();
    }

    /** A session's stream has ended. */
    void ended(Session lost, MessageProxyException reason) {
        Effects effects = new Effects();
        boolean goesOn;
        mu.lock();
        try {
            if (session != lost) {
                return; // it was told before
            }
            session = null;
            lost.end(effects);
            if (lost.progressed(Backoff.nanos(config.maxBackoff))) {
                retry.reset();
            }
            goesOn = !stopping;
            advance(effects);
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
        if (!goesOn) {
            return;
        }
        event(Event.about(Event.Kind.DISCONNECTED, reason));
        if (Errors.endsForGood(reason)) {
            stop(reason);
            return;
        }
        mu.lock();
        try {
            if (!stopping) {
                reopening = threads.after(retry.next(), this::open);
            }
        } finally {
            mu.unlock();
        }
    }

    /** Logs what happened and passes it on. */
    void event(Event event) {
        Level level = switch (event.kind()) {
            case TROUBLE, NOTICE, DISCONNECTED -> Level.WARNING;
            case CONNECTED, ASSIGNED, WITHDRAWN, RECOVERED -> Level.INFO;
        };
        config.log.log(level, "subscription " + subscription + ": " + event);
        try {
            options.observer.onEvent(event);
        } catch (Throwable e) { // must not end the stream; other languages throw checked exceptions here too
            config.log.warning("subscription " + subscription + ": the observer failed", e);
        }
    }

    /** Where frames are written. */
    Executor writers() {
        return threads::execute;
    }

    Log log() {
        return config.log;
    }

    Future<?> after(long nanos, Runnable task) {
        return threads.after(nanos, task);
    }

    // ------------------------------------------------------------ stopping

    /** Lets no more handlers begin. The error is what the consumer ends with, unless there was another before. */
    void stop(Throwable error) {
        Effects effects = new Effects();
        mu.lock();
        try {
            stop(error, effects);
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
    }

    private void stop(Throwable error, Effects effects) {
        if (stopping) {
            return;
        }
        stopping = true;
        stopError = error;
        lanes.purge(task -> true);
        lanes.handlings().forEach(handling -> goOn(handling, effects));
        if (reopening != null) {
            reopening.cancel(false);
        }
        if (session != null && session.isOpen()) {
            session.leave(effects);
        } else if (session != null) {
            effects.add(session::cancel); // it is only connecting
        }
        drainTimer = threads.after(Backoff.nanos(options.drainTimeout), this::endDrain);
        advance(effects);
    }

    /** The drain timeout is over: tells handlers to end. */
    private void endDrain() {
        Effects effects = new Effects();
        mu.lock();
        try {
            if (ended || lanes.running() == 0) {
                return;
            }
            cancelHandlers(task -> true, effects);
            drainTimer = threads.after(CANCEL_GRACE, this::endGrace);
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
    }

    private void endGrace() {
        Effects effects = new Effects();
        mu.lock();
        try {
            drained = true;
            advance(effects);
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
    }

    /**
     * Goes on with stopping, if that has begun: handlers, then the session, then the end. Called with the lock held.
     */
    private void advance(Effects effects) {
        if (!stopping || ended || (lanes.running() > 0 && !drained)) {
            return;
        }
        if (session != null) {
            Session last = session;
            if (last.isOpen() && last.finish(effects)) {
                leaveTimer = threads.after(LEAVE_TIMEOUT, () -> endLeave(last));
            }
            return;
        }
        ended = true;
        for (Future<?> timer : new Future<?>[] {drainTimer, leaveTimer}) {
            if (timer != null) {
                timer.cancel(false);
            }
        }
        Throwable error = lanes.running() == 0
                ? stopError
                : new HandlersRunningException(lanes.running(), options.drainTimeout, stopError);
        effects.add(() -> end(error));
    }

    /** The server didn't end the session's stream in time. Waits no longer, whatever becomes of the call. */
    private void endLeave(Session last) {
        try {
            last.cancel();
        } finally {
            ended(last, Errors.of(Code.BROKER_UNAVAILABLE, "the server didn't end the stream", true));
        }
    }

    private void end(Throwable error) {
        connection.close();
        if (error == null) {
            completion.complete(null);
        } else {
            completion.completeExceptionally(error);
        }
    }

    /** Called with the lock held. */
    boolean isStopping() {
        return stopping;
    }

    // ------------------------------------------------------------ handlers

    /** Queues messages of a partition. Called with the lock held, and followed by startsRunner. */
    void push(TopicPartition from, List<Lanes.Task> tasks) {
        lanes.push(from, tasks);
    }

    /** Whether a runner is to be started, once the lock is released. Called with the lock held. */
    boolean startsRunner() {
        return lanes.startsRunner();
    }

    /** Drops tasks that haven't begun. Called with the lock held. */
    void purge(Predicate<Lanes.Task> drop) {
        lanes.purge(drop);
    }

    /** Tells handlers to end. Called with the lock held, and after purge: another one may begin before that. */
    void cancelHandlers(Predicate<Lanes.Task> which, Effects effects) {
        for (Handling handling : lanes.handlings()) {
            if (!handling.cancelled && which.test(handling.task)) {
                handling.cancelled = true;
                HandlerCall call = handling.call;
                effects.add(() -> runActions(call.cancel()));
                goOn(handling, effects);
            }
        }
    }

    private void runActions(List<Runnable> actions) {
        if (actions.isEmpty()) {
            return;
        }
        threads.execute(() -> {
            for (Runnable action : actions) {
                try {
                    action.run();
                } catch (Throwable e) { // the others are told all the same
                    config.log.warning("an action of HandlerContext.onCancel failed", e);
                }
            }
        });
    }

    /** Ends a handling's wait for its next attempt, if it waits: there may be none. Called with the lock held. */
    private void goOn(Handling handling, Effects effects) {
        if (handling.waiting != null) {
            handling.waiting.cancel(false);
            handling.waiting = null;
            effects.add(() -> startRunner(handling));
        }
    }

    /** The wait for the next attempt is over. */
    private void endWait(Handling handling) {
        mu.lock();
        try {
            if (handling.waiting == null) {
                return; // it goes on already
            }
            handling.waiting = null;
        } finally {
            mu.unlock();
        }
        startRunner(handling);
    }

    /** Starts a runner, which counts already. */
    void startRunner() {
        startRunner(null);
    }

    /** As startRunner; it goes on with what has waited for its next attempt. */
    private void startRunner(Handling first) {
        if (options.executor == null) {
            giveRunner(threads.pool(), first);
        } else { // it may run handlers on the thread that gives it tasks, which mustn't be gRPC's
            threads.execute(() -> giveRunner(options.executor, first));
        }
    }

    private void giveRunner(Executor executor, Handling first) {
        AtomicBoolean settled = new AtomicBoolean(); // it runs, or was rejected; an executor might do both
        try {
            executor.execute(() -> {
                if (settled.compareAndSet(false, true)) {
                    Thread.yield(); // those who run already may have time for what this one was started for
                    runFrom(first);
                }
            });
        } catch (Throwable e) {
            if (settled.compareAndSet(false, true)) {
                runnerLost(first,
                        new RejectedExecutionException("the executor of the consumer took no handler", e));
            }
        }
    }

    /** A runner couldn't be started or has failed: stops the consumer, as its partition would stand still. */
    private void runnerLost(Handling handling, Throwable error) {
        Effects effects = new Effects();
        mu.lock();
        try {
            if (handling != null) {
                lanes.release(handling.lane);
            }
            lanes.runnerLost();
            stop(error, effects);
            advance(effects);
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
    }

    /** Is a runner: handles messages until no lane has any, or one has to wait for its next attempt. */
    private void runFrom(Handling first) {
        Handling handling = first;
        try {
            Outcome outcome = null;
            if (handling != null) {
                outcome = beginAttempt(handling) ? handle(handling) : Outcome.DROPPED;
            }
            while (outcome != Outcome.WAITS) {
                handling = finishAndBegin(handling, outcome);
                if (handling == null) {
                    return;
                }
                outcome = handle(handling);
            }
        } catch (Throwable e) { // an interceptor's, for example, when an ACK was to be sent
            runnerLost(handling, e);
        }
    }

    /** What became of a message; an error stops the consumer. */
    private record Outcome(boolean ack, Throwable error) {
        static final Outcome HANDLED = new Outcome(true, null);
        /** It isn't this client's any more, or the consumer is stopping. */
        static final Outcome DROPPED = new Outcome(false, null);
        /** It goes on later. */
        static final Outcome WAITS = new Outcome(false, null);
    }

    /**
     * Does what became of a message, before its lane goes on, and begins the next one. Returns null where there is
     * none, which ends the runner. Unless lanes have to take turns, this runner goes on with its own: that takes no
     * lock that others want.
     *
     * @param finished null when the runner begins
     */
    private Handling finishAndBegin(Handling finished, Outcome outcome) {
        if (finished != null && outcome.ack()) {
            finished.task.partition().session.ack(finished.task);
        }
        if (finished != null && outcome.error() == null && !lanes.takeTurns()) {
            Handling next = finished.lane.next();
            if (next != null) {
                return next;
            }
        }
        return changeLanes(finished, finished == null ? null : outcome.error());
    }

    private Handling changeLanes(Handling finished, Throwable error) {
        Effects effects = new Effects();
        Handling next;
        mu.lock();
        try {
            if (error != null) {
                stop(error, effects);
            }
            if (finished == null) {
                lanes.runnerBegan();
            } else {
                lanes.release(finished.lane);
            }
            next = lanes.begin();
            if (next == null) {
                advance(effects);
            } else if (lanes.startsRunner()) {
                effects.add(this::startRunner);
            }
        } finally {
            mu.unlock();
        }
        effects.run(config.log);
        return next;
    }

    /** Calls the handler, whose attempt has begun, until it succeeds, has failed for good, or has to wait. */
    private Outcome handle(Handling handling) {
        Message message = handling.task.message();
        while (true) {
            Throwable thrown = handling.call.run(context -> handler.handle(message, context));
            if (thrown == null) {
                return Outcome.HANDLED;
            }
            if (isCancelled(handling)) {
                return Outcome.DROPPED;
            }
            logFailure("a handler failed, attempt " + handling.attempt, message, thrown);
            long wait = handling.nextWait(options);
            if (handling.attempt == options.attempts || !mayRetry(handling, wait)) {
                return failForGood(handling, thrown);
            }
            if (wait > 0 && waitForAttempt(handling, wait)) {
                return Outcome.WAITS;
            }
            if (!beginAttempt(handling)) {
                return Outcome.DROPPED;
            }
        }
    }

    /** Begins another attempt, unless nothing may begin any more. */
    private boolean beginAttempt(Handling handling) {
        mu.lock();
        try {
            if (handling.cancelled || stopping) {
                return false;
            }
            handling.attempt++;
            handling.call = new HandlerCall();
            return true;
        } finally {
            mu.unlock();
        }
    }

    private boolean isCancelled(Handling handling) {
        mu.lock();
        try {
            return handling.cancelled;
        } finally {
            mu.unlock();
        }
    }

    /** Has the next attempt begin later, unless there may be none. */
    private boolean waitForAttempt(Handling handling, long nanos) {
        mu.lock();
        try {
            if (handling.cancelled || stopping) {
                return false;
            }
            handling.waiting = threads.after(nanos, () -> endWait(handling));
            return true;
        } finally {
            mu.unlock();
        }
    }

    /** Whether the next attempt can begin within the ACK timeout, less a tenth for the ACK to arrive. */
    private boolean mayRetry(Handling handling, long wait) {
        mu.lock();
        try {
            long timeout = handling.task.partition().session.ackTimeout();
            return timeout <= 0 || System.nanoTime() - handling.began + wait < timeout - timeout / 10;
        } finally {
            mu.unlock();
        }
    }

    /** Does what the options say. */
    private Outcome failForGood(Handling handling, Throwable thrown) {
        Message message = handling.task.message();
        if (options.failureHandler == null) {
            return new Outcome(false, new HandlerException(message, handling.attempt, thrown));
        }
        HandlerCall call = beginFailureHandler(handling);
        if (call == null) {
            return Outcome.DROPPED;
        }
        Throwable failure = call.run(context -> options.failureHandler.handle(message, thrown, context));
        if (failure == null) {
            return Outcome.HANDLED;
        }
        logFailure("the failure handler failed", message, failure);
        return isCancelled(handling) ? Outcome.DROPPED : new Outcome(false, failure);
    }

    /** The call of the failure handler, or null if the message isn't this client's any more. */
    private HandlerCall beginFailureHandler(Handling handling) {
        mu.lock();
        try {
            handling.call = new HandlerCall();
            return handling.cancelled ? null : handling.call;
        } finally {
            mu.unlock();
        }
    }

    private void logFailure(String what, Message message, Throwable thrown) {
        config.log.warning(what + ": subscription " + subscription + ", message " + message.id() + " of "
                + message.from(), thrown);
    }
}
