package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.ConsumeResponse;
import io.github.messageproxy.v1.SubscribeRequest;
import io.github.messageproxy.v1.Subscribed;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ConsumeTest {
    private ScriptedProxy proxy;
    private Client client;
    private final BlockingQueue<Call> calls = new LinkedBlockingQueue<>();

    /** A call of a handler, which waits until the test returns it. */
    private static final class Call {
        private final Message message;
        private final HandlerContext context;
        private final CompletableFuture<Exception> result = new CompletableFuture<>();
        private final CompletableFuture<Void> interrupted = new CompletableFuture<>();

        private Call(Message message, HandlerContext context) {
            this.message = message;
            this.context = context;
        }

        void succeed() {
            result.complete(null);
        }

        void fail(Exception error) {
            result.complete(error);
        }
    }

    /** Has the test decide; goes on when it is interrupted. */
    private void handle(Message message, HandlerContext context) throws Exception {
        Call call = new Call(message, context);
        calls.add(call);
        while (true) {
            try {
                Exception error = call.result.get();
                if (error != null) {
                    throw error;
                }
                return;
            } catch (InterruptedException e) {
                call.interrupted.complete(null);
            }
        }
    }

    private Call nextCall(String id) throws InterruptedException {
        Call call = calls.poll(ScriptedProxy.PATIENCE_SECONDS, TimeUnit.SECONDS);
        assertNotNull(call, "the handler of " + id + " didn't begin");
        assertEquals(id, call.message.id());
        return call;
    }

    @BeforeEach
    void start() throws Exception {
        proxy = new ScriptedProxy();
        client = Client.builder(proxy.target()).clientName("tester")
                .reconnectBackoff(Duration.ofMillis(1), Duration.ofMillis(5)).build();
    }

    @AfterEach
    void stop() throws Exception {
        for (Call call = calls.poll(); call != null; call = calls.poll()) {
            call.succeed();
        }
        client.close();
        proxy.close();
    }

    private Consumer consume(ConsumeOptions.Builder options) {
        return client.subscription("billing", "orders").consume(this::handle, options.build());
    }

    private static ConsumeOptions.Builder quickly() {
        return ConsumeOptions.builder().attempts(3, Duration.ZERO, Duration.ofMillis(2));
    }

    private static Throwable failure(Consumer consumer) throws Exception {
        ExecutionException e = assertThrows(ExecutionException.class,
                () -> consumer.completion().get(ScriptedProxy.PATIENCE_SECONDS, TimeUnit.SECONDS));
        return e.getCause();
    }

    private static void leaves(ScriptedProxy.ConsumeStream stream) throws InterruptedException {
        stream.nextIsLeave();
        stream.nextIsHalfClose();
        stream.endOk();
    }

    @Test
    void theSubscribeRequestHasTheOptions() throws Exception {
        client.subscription("billing", "orders", "refunds").consume(this::handle, ConsumeOptions.builder()
                .maxUnacked(7).ackTimeout(Duration.ofMillis(2500)).start(StartPosition.LATEST).build());
        ConsumeRequest request = proxy.nextConsume().next();
        SubscribeRequest got = request.getSubscribe();
        assertEquals("billing", got.getSubscription());
        assertEquals(List.of("orders", "refunds"), got.getTopicsList());
        assertEquals("tester", got.getClientName());
        assertEquals(7, got.getMaxUnackedMessages());
        assertEquals(2, got.getAckTimeout().getSeconds());
        assertEquals(500_000_000, got.getAckTimeout().getNanos());
        assertEquals(io.github.messageproxy.v1.StartPosition.START_POSITION_LATEST, got.getStartPosition());
        consume(ConsumeOptions.builder());
        got = proxy.nextConsume().next().getSubscribe();
        assertFalse(got.hasMaxUnackedMessages() || got.hasAckTimeout());
        assertEquals(io.github.messageproxy.v1.StartPosition.START_POSITION_EARLIEST, got.getStartPosition());
    }

    @Test
    void partitionsAreHandledAtTheSameTimeAndEachInOrder() throws Exception {
        Consumer consumer = consume(ConsumeOptions.builder());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "a1", "a2");
        Call a1 = nextCall("a1");
        stream.deliver(1, "b1");
        Call b1 = nextCall("b1");
        assertNull(calls.peek(), "a2 waits for a1");
        a1.succeed();
        stream.nextIsAck("a1");
        Call a2 = nextCall("a2");
        CompletableFuture<Void> stopped = consumer.stop();
        stream.nextIsLeave();
        a2.succeed();
        stream.nextIsAck("a2");
        assertFalse(stopped.isDone());
        b1.succeed();
        stream.nextIsAck("b1");
        stream.nextIsHalfClose();
        assertFalse(stopped.isDone(), "the server hasn't ended the stream");
        stream.endOk();
        stopped.get();
        consumer.close();
    }

    @Test
    void partitionsTakeTurnsWhereThreadsAreFew() throws Exception {
        ExecutorService one = Executors.newSingleThreadExecutor();
        CountDownLatch delivered = new CountDownLatch(1);
        consume(ConsumeOptions.builder().executor(one).observer(event -> {
            if (event.kind() == Event.Kind.NOTICE) {
                delivered.countDown();
            }
        }));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "a1", "a2", "a3");
        Call a1 = nextCall("a1");
        stream.deliver(1, "b1", "b2");
        stream.notice(ScriptedProxy.error(Code.MESSAGES_EXPIRED, "comes after them", false));
        delivered.await();
        a1.succeed();
        for (String next : List.of("b1", "a2", "b2", "a3")) {
            nextCall(next).succeed();
        }
        one.shutdown();
    }

    @Test
    void aHandlerThatFailsIsCalledAgainAndThenStopsTheConsumer() throws Exception {
        Consumer consumer = consume(quickly());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "bad", "behind");
        Exception error = new Exception("no luck");
        for (int i = 0; i < 3; i++) {
            nextCall("bad").fail(error);
        }
        leaves(stream);
        HandlerException failure = assertInstanceOf(HandlerException.class, failure(consumer));
        assertEquals("bad", failure.failedMessage().id());
        assertEquals(3, failure.attempts());
        assertSame(error, failure.getCause());
        assertNull(calls.peek());
        assertSame(failure, assertThrows(HandlerException.class, consumer::close));
    }

    @Test
    void anErrorOfAHandlerIsAFailureToo() throws Exception {
        AtomicInteger attempts = new AtomicInteger();
        client.subscription("billing", "orders").consume((message, context) -> {
            if (attempts.incrementAndGet() < 3) {
                throw new AssertionError("not yet");
            }
        }, quickly().build());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        stream.nextIsAck("m");
        assertEquals(3, attempts.get());
    }

    @Test
    void attemptsEndBeforeTheAckTimeout() throws Exception {
        Consumer consumer = consume(ConsumeOptions.builder().attempts(1000, Duration.ofHours(1), Duration.ofHours(1)));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept(Duration.ofNanos(1));
        stream.deliver(0, "bad");
        nextCall("bad").fail(new Exception("no luck"));
        leaves(stream);
        assertEquals(1, assertInstanceOf(HandlerException.class, failure(consumer)).attempts());
    }

    @Test
    void aFailureHandlerDecides() throws Exception {
        IllegalStateException refused = new IllegalStateException("refused");
        Consumer consumer = consume(quickly().failureHandler((message, error, context) -> {
            if (message.id().equals("worse")) {
                throw refused;
            }
        }));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "bad", "worse");
        for (int i = 0; i < 3; i++) {
            nextCall("bad").fail(new Exception("no luck"));
        }
        stream.nextIsAck("bad");
        for (int i = 0; i < 3; i++) {
            nextCall("worse").fail(new Exception("no luck"));
        }
        leaves(stream);
        assertSame(refused, failure(consumer));
    }

    @Test
    void aLostStreamTellsHandlersToEndAndItsAcksAreNotSent() throws Exception {
        consume(ConsumeOptions.builder());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m", "dropped");
        Call call = nextCall("m");
        CompletableFuture<Void> told = new CompletableFuture<>();
        call.context.onCancel(() -> told.complete(null));
        assertFalse(call.context.isCancelled());
        stream.end(Status.UNAVAILABLE);
        call.interrupted.get();
        told.get();
        assertTrue(call.context.isCancelled());
        CompletableFuture<Void> toldLate = new CompletableFuture<>();
        call.context.onCancel(() -> toldLate.complete(null));
        assertTrue(toldLate.isDone());

        stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        stream.deliver(1, "other");
        nextCall("other").succeed(); // m waits for the handler of the lost stream
        stream.nextIsAck("other");
        assertNull(calls.peek());
        call.succeed();
        nextCall("m").succeed();
        stream.nextIsAck("m");
    }

    @Test
    void anInterruptOfTheClientIsNotLeftBehindInTheExecutor() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CompletableFuture<Boolean> interruptedAfterwards = new CompletableFuture<>();
        client.subscription("billing", "orders").consume((message, context) -> {
            begun.countDown();
            while (!Thread.currentThread().isInterrupted()) {
                Thread.onSpinWait();
            }
        }, ConsumeOptions.builder().executor(task -> new Thread(() -> {
            task.run();
            interruptedAfterwards.complete(Thread.currentThread().isInterrupted());
        }).start()).build());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        begun.await();
        stream.end(Status.UNAVAILABLE);
        assertFalse(interruptedAfterwards.get());
    }

    @Test
    void anExecutorThatTakesNothingStopsTheConsumer() throws Exception {
        ExecutorService shut = Executors.newSingleThreadExecutor();
        shut.shutdown();
        Consumer consumer = consume(ConsumeOptions.builder().executor(shut));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        leaves(stream);
        assertInstanceOf(RejectedExecutionException.class, failure(consumer));
    }

    @Test
    void handlersThatDoNotReturnAreLeftBehind() throws Exception {
        Consumer consumer = consume(ConsumeOptions.builder().drainTimeout(Duration.ZERO));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        Call call = nextCall("m");
        consumer.stop();
        call.interrupted.get();
        leaves(stream);
        assertEquals(1, assertInstanceOf(HandlersRunningException.class, failure(consumer)).running());
        call.succeed();
    }

    @Test
    void theErrorsOfAnObserverDoNoHarmAndItHearsOfTheStream() throws Exception {
        BlockingQueue<Event.Kind> kinds = new LinkedBlockingQueue<>();
        Consumer consumer = consume(ConsumeOptions.builder().observer(event -> {
            kinds.add(event.kind());
            throw new IllegalStateException("an observer's");
        }));
        proxy.nextConsume().accept().terminate(ScriptedProxy.error(Code.ACK_TIMEOUT, "too late", false));
        proxy.nextConsume().accept().terminate(ScriptedProxy.error(Code.SUBSCRIPTION_CONFLICT, "other topics", true));
        MessageProxyException error = assertInstanceOf(MessageProxyException.class, failure(consumer));
        assertEquals(Code.SUBSCRIPTION_CONFLICT, error.code());
        assertEquals(List.of(Event.Kind.CONNECTED, Event.Kind.DISCONNECTED, Event.Kind.CONNECTED,
                Event.Kind.DISCONNECTED), List.copyOf(kinds));
    }

    @Test
    void anObserverMayThrowAnything() throws Exception {
        consume(ConsumeOptions.builder().observer(event -> sneak(new Exception("a checked one"))));
        proxy.nextConsume().accept().end(Status.UNAVAILABLE);
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        nextCall("m").succeed();
        stream.nextIsAck("m");
    }

    /** Throws what the compiler wouldn't let, as other languages do. */
    @SuppressWarnings("unchecked")
    private static <E extends Throwable> void sneak(Throwable thrown) throws E {
        throw (E) thrown;
    }

    @Test
    void aLoggerMayThrowAnything() throws Exception {
        try (Client other = Client.builder(proxy.target())
                .reconnectBackoff(Duration.ofMillis(1), Duration.ofMillis(5))
                .logger(new TestLogger(text -> sneak(new Exception("a logger's")))).build()) {
            other.subscription("billing", "orders").consume(this::handle, quickly().build());
            proxy.nextConsume().accept().end(Status.UNAVAILABLE);
            ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
            stream.deliver(0, "m");
            nextCall("m").fail(new Exception("no luck"));
            nextCall("m").succeed();
            stream.nextIsAck("m");
        }
    }

    @Test
    void detailsThatAreNotWhatTheyShouldBeDoNoHarm() throws Exception {
        consume(ConsumeOptions.builder());
        proxy.nextConsume().accept().endMalformed();
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        nextCall("m").succeed();
        stream.nextIsAck("m");
    }

    @Test
    void anExceptionWhoseMessageCanNotBeReadIsAFailureToo() throws Exception {
        class Unreadable extends Exception {
            private static final long serialVersionUID = 1;

            @Override
            public String getMessage() {
                throw new IllegalStateException("no message");
            }
        }

        Consumer consumer = consume(ConsumeOptions.builder().attempts(1, Duration.ZERO, Duration.ZERO));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        Exception error = new Unreadable();
        nextCall("m").fail(error);
        leaves(stream);
        assertSame(error, assertInstanceOf(HandlerException.class, failure(consumer)).getCause());
    }

    @Test
    void anExecutorThatThrowsSomethingElseStopsTheConsumerToo() throws Exception {
        IllegalStateException error = new IllegalStateException("an executor's");
        Consumer consumer = consume(ConsumeOptions.builder().executor(task -> {
            throw error;
        }));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        leaves(stream);
        assertSame(error, assertInstanceOf(RejectedExecutionException.class, failure(consumer)).getCause());
    }

    @Test
    void aRunnerThatFailsStopsTheConsumer() throws Exception {
        IllegalStateException error = new IllegalStateException("an interceptor's");
        AtomicBoolean fails = new AtomicBoolean();
        try (Client other = Client.builder(proxy.target())
                .configureChannel(channel -> channel.intercept(new Interceptor() {
                    @Override
                    void ready() {
                        if (fails.getAndSet(false)) {
                            throw error;
                        }
                    }
                })).build()) {
            Consumer consumer = other.subscription("billing", "orders").consume(this::handle);
            ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
            stream.deliver(0, "m");
            Call call = nextCall("m");
            fails.set(true);
            call.succeed();
            stream.nextIsLeave();
            stream.nextIsAck("m");
            stream.nextIsHalfClose();
            stream.endOk();
            assertSame(error, failure(consumer));
        }
    }

    @Test
    void handlersOnTheThreadThatGivesThemAreToldOfALostStream() throws Exception {
        consume(ConsumeOptions.builder().executor(Runnable::run));
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        Call call = nextCall("m");
        stream.end(Status.UNAVAILABLE);
        call.interrupted.get(ScriptedProxy.PATIENCE_SECONDS, TimeUnit.SECONDS);
        call.succeed();
    }

    @Test
    void anInterruptThatAHandlerLeavesBehindIsNotTheNextOnes() throws Exception {
        BlockingQueue<Boolean> interrupted = new LinkedBlockingQueue<>();
        client.subscription("billing", "orders").consume((message, context) -> {
            interrupted.add(Thread.currentThread().isInterrupted());
            Thread.currentThread().interrupt();
        });
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "1", "2");
        assertFalse(interrupted.take());
        assertFalse(interrupted.take());
    }

    @Test
    void durationsThatAreTooLongDoNoHarm() throws Exception {
        consume(ConsumeOptions.builder());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume();
        for (long seconds : new long[] {Long.MIN_VALUE, Long.MAX_VALUE}) {
            stream.out.onNext(ConsumeResponse.newBuilder().setSubscribed(Subscribed.newBuilder().setAckTimeout(
                    com.google.protobuf.Duration.newBuilder().setSeconds(seconds).setNanos(Integer.MAX_VALUE)))
                    .build());
        }
        assertTrue(stream.next().hasSubscribe());
        stream.deliver(0, "m");
        nextCall("m").succeed();
        stream.nextIsAck("m");
    }

    @Test
    void aClosedClientEndsItsConsumers() throws Exception {
        Consumer consumer = consume(ConsumeOptions.builder());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        stream.deliver(0, "m");
        Call call = nextCall("m");
        client.close();
        stream.nextIsLeave();
        call.succeed();
        stream.nextIsAck("m");
        stream.nextIsHalfClose();
        stream.endOk();
        assertInstanceOf(ClosedException.class, failure(consumer));
    }

    @Test
    void whatTheCallerDoesToACompletionHasNoEffect() throws Exception {
        Consumer consumer = consume(ConsumeOptions.builder());
        assertTrue(consumer.completion().cancel(true));
        assertFalse(consumer.completion().isDone());
        ScriptedProxy.ConsumeStream stream = proxy.nextConsume().accept();
        consumer.stop();
        leaves(stream);
        consumer.completion().get();
    }
}
