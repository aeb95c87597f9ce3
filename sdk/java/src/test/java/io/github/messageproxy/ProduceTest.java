package io.github.messageproxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.net.ServerSocket;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class ProduceTest {
    private ScriptedProxy proxy;
    private Client client;

    @BeforeEach
    void start() throws Exception {
        proxy = new ScriptedProxy();
        client = builder(proxy.target()).build();
    }

    @AfterEach
    void stop() throws Exception {
        proxy.close();
        client.close();
    }

    private static Client.Builder builder(String target) {
        return Client.builder(target).reconnectBackoff(Duration.ofMillis(1), Duration.ofMillis(5));
    }

    private static OutgoingMessage message(String value) {
        return OutgoingMessage.builder("orders").value(value.getBytes(UTF_8)).build();
    }

    private static Throwable failure(CompletableFuture<?> future) throws Exception {
        try {
            future.get(ScriptedProxy.PATIENCE_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            return e.getCause();
        } catch (CancellationException e) {
            return e.getCause() instanceof CancellationException cause ? cause : e; // Java 25 has another around it
        }
        throw new AssertionError("it succeeded");
    }

    private static void failsWith(Code code, CompletableFuture<?> future) throws Exception {
        MessageProxyException error = assertInstanceOf(MessageProxyException.class, failure(future));
        assertEquals(code, error.code(), error.getMessage());
    }

    @Test
    void aMessageReachesTheServerAsItIsAndItsReceiptComesBack() throws Exception {
        byte[] key = "ada".getBytes(UTF_8);
        CompletableFuture<Receipt> receipt = client.produce(OutgoingMessage.builder("orders").key(key)
                .value(new byte[0]).header("a", null).header("b", new byte[0]).header("a", new byte[] {1})
                .partition(7).timestamp(Instant.ofEpochMilli(5)).build());
        key[0] = 'x';
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        var got = stream.nextMessage();
        assertEquals(1, got.getSequence());
        assertArrayEquals("ada".getBytes(UTF_8), got.getKey().toByteArray());
        assertTrue(got.hasValue() && got.getValue().isEmpty());
        assertEquals(List.of("a", "b", "a"), got.getHeadersList().stream().map(header -> header.getKey()).toList());
        assertFalse(got.getHeaders(0).hasValue());
        assertTrue(got.getHeaders(1).hasValue());
        assertEquals(7, got.getPartition());
        assertEquals(5, got.getTimestampMs());
        stream.answer(1);
        assertEquals(new Receipt("id-1", 3, Instant.ofEpochMilli(1700000000000L)), receipt.get());
    }

    @Test
    void messagesGoOutInOrderAndShareFrames() throws Exception {
        List<CompletableFuture<Receipt>> receipts = new ArrayList<>();
        for (int i = 1; i <= 1000; i++) {
            receipts.add(client.produce(message("" + i)));
        }
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        for (int i = 1; i <= 1000; i++) {
            stream.nextIs("" + i, i);
        }
        for (int i = 1000; i >= 1; i--) {
            stream.answer(i);
        }
        CompletableFuture.allOf(receipts.toArray(CompletableFuture<?>[]::new)).get();
    }

    @Test
    void anErrorOfOneMessageIsItsOwn() throws Exception {
        CompletableFuture<Receipt> first = client.produce(message("first"));
        CompletableFuture<Receipt> second = client.produce(message("second"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("first", 1);
        stream.nextIs("second", 2);
        stream.answer(1, ScriptedProxy.error(Code.TOPIC_NOT_FOUND, "no such topic", false));
        stream.answer(2);
        failsWith(Code.TOPIC_NOT_FOUND, first);
        assertEquals("id-2", second.get().messageId());
    }

    private void losesAMessageWithItsStreamAndStoresTheNext() throws Exception {
        CompletableFuture<Receipt> lost = client.produce(message("lost"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("lost", 1);
        stream.end(Status.UNAVAILABLE);
        failsWith(Code.UNKNOWN_OUTCOME, lost);
        CompletableFuture<Receipt> next = client.produce(message("next"));
        stream = proxy.nextProduce();
        stream.nextIs("next", 1);
        stream.answer(1);
        next.get();
    }

    @Test
    void whatWasOnTheWireOfALostStreamHasAnUnknownOutcome() throws Exception {
        losesAMessageWithItsStreamAndStoresTheNext();
    }

    @Test
    void whatIsUnansweredWhenAServerShutsDownGoesOutAgainFirst() throws Exception {
        List<CompletableFuture<Receipt>> receipts = new ArrayList<>();
        for (int i = 1; i <= 3; i++) {
            receipts.add(client.produce(message("" + i)));
        }
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        for (int i = 1; i <= 3; i++) {
            stream.nextIs("" + i, i);
        }
        stream.answer(2);
        receipts.get(1).get();
        stream.terminate(ScriptedProxy.error(Code.SHUTTING_DOWN, "bye", true));
        receipts.add(client.produce(message("4")));
        stream = proxy.nextProduce();
        stream.nextIs("1", 1);
        stream.nextIs("3", 2);
        stream.nextIs("4", 3);
        for (int i = 1; i <= 3; i++) {
            stream.answer(i);
        }
        CompletableFuture.allOf(receipts.toArray(CompletableFuture<?>[]::new)).get();
    }

    @Test
    void aMessageThatCannotBeProducedFailsAtOnce() throws Exception {
        failsWith(Code.INVALID_ARGUMENT, client.produce(null));
        failsWith(Code.INVALID_ARGUMENT, client.produce(OutgoingMessage.builder(null).build()));
        failsWith(Code.INVALID_ARGUMENT, client.produce(OutgoingMessage.builder("").build()));
        failsWith(Code.INVALID_ARGUMENT, client.produce(OutgoingMessage.builder("half a pair: \ud800").build()));
        failsWith(Code.INVALID_ARGUMENT,
                client.produce(OutgoingMessage.builder("orders").header("\udc00", null).build()));
        failsWith(Code.INVALID_ARGUMENT,
                client.produce(OutgoingMessage.builder("orders").timestamp(Instant.MAX).build()));
        try (Client small = builder(proxy.target()).maxMessageBytes(10).build()) {
            failsWith(Code.MESSAGE_TOO_LARGE, small.produce(message("eleven byte")));
            failsWith(Code.MESSAGE_TOO_LARGE,
                    small.produce(OutgoingMessage.builder("orders").header("", null).build()));
        }
    }

    @Test
    void cancelBeforeTheWireWithdrawsAndTellsWhyThereIsNoConnection() throws Exception {
        int nobody;
        try (ServerSocket socket = new ServerSocket(0)) {
            nobody = socket.getLocalPort();
        }
        try (Client alone = builder("127.0.0.1:" + nobody).build()) {
            CompletableFuture<Receipt> waiting = alone.produce(message("never"), Duration.ofSeconds(2));
            TimeoutException timeout = assertInstanceOf(TimeoutException.class, failure(waiting));
            assertTrue(timeout.getMessage().contains("no connection"), timeout.getMessage());
            CompletableFuture<Receipt> cancelled = alone.produce(message("never"));
            assertTrue(cancelled.cancel(true));
            assertTrue(cancelled.isCancelled());
            assertTrue(failure(cancelled).getMessage().contains("no connection"));
            assertInstanceOf(TimeoutException.class, failure(alone.produce(message("never"), Duration.ZERO)));
        }
    }

    @Test
    void cancelOnTheWireLeavesAnUnknownOutcomeAndKeepsTheRoom() throws Exception {
        try (Client one = builder(proxy.target()).maxOutstanding(1, 1000).build()) {
            CompletableFuture<Receipt> first = one.produce(message("first"));
            ScriptedProxy.ProduceStream stream = proxy.nextProduce();
            stream.nextIs("first", 1);
            assertFalse(first.cancel(true));
            failsWith(Code.UNKNOWN_OUTCOME, first);
            CompletableFuture<Receipt> timed = one.produce(message("no room"), Duration.ofMillis(20));
            assertInstanceOf(TimeoutException.class, failure(timed));
            CompletableFuture<Receipt> second = one.produce(message("second"));
            stream.hasNothing();
            stream.answer(1);
            stream.nextIs("second", 2);
            stream.answer(2);
            second.get();
        }
    }

    @Test
    void aTimeoutOnTheWireLeavesAnUnknownOutcome() throws Exception {
        CompletableFuture<Receipt> first = client.produce(message("first"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("first", 1);
        stream.answer(1);
        first.get(); // from now on, a message goes out at once
        CompletableFuture<Receipt> timed = client.produce(message("slow"), Duration.ofSeconds(1));
        stream.nextIs("slow", 2);
        failsWith(Code.UNKNOWN_OUTCOME, timed);
    }

    @Test
    void whoWaitsForRoomGetsItInOrder() throws Exception {
        try (Client two = builder(proxy.target()).maxOutstanding(2, 10).build()) {
            CompletableFuture<Receipt> large = two.produce(message("larger than ten bytes")); // alone it may be
            CompletableFuture<Receipt> small = two.produce(message("small"));
            CompletableFuture<Receipt> withdrawn = two.produce(message("withdrawn"));
            CompletableFuture<Receipt> last = two.produce(message("last"));
            CompletableFuture<Void> room = CompletableFuture.runAsync(() -> {
                try {
                    two.awaitRoom();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            });
            ScriptedProxy.ProduceStream stream = proxy.nextProduce();
            stream.nextIs("larger than ten bytes", 1);
            assertTrue(withdrawn.cancel(false));
            stream.hasNothing();
            stream.answer(1);
            large.get();
            stream.nextIs("small", 2);
            stream.nextIs("last", 3);
            assertFalse(room.isDone());
            stream.answer(2);
            small.get();
            room.get();
            stream.answer(3);
            last.get();
        }
    }

    @Test
    void flushWaitsForWhatWasProducedBefore() throws Exception {
        assertTrue(client.flush().isDone());
        CompletableFuture<Receipt> before = client.produce(message("before"));
        CompletableFuture<Void> flushed = client.flush();
        client.produce(message("after"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("before", 1);
        assertFalse(flushed.isDone());
        stream.answer(1);
        flushed.get();
        assertTrue(before.isDone());
    }

    @Test
    void afterAStreamThatEndedForGoodALaterMessageTriesAgain() throws Exception {
        CompletableFuture<Receipt> first = client.produce(message("first"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("first", 1);
        stream.terminate(ScriptedProxy.error(Code.PERMISSION_DENIED, "no", true));
        failsWith(Code.UNKNOWN_OUTCOME, first);
        CompletableFuture<Receipt> later = client.produce(message("later"));
        stream = proxy.nextProduce();
        stream.nextIs("later", 1);
        stream.answer(1);
        later.get();
    }

    @ParameterizedTest
    @CsvSource({"1, 1000", "1000, 10"})
    void whatWaitsForRoomFailsTooWhenAStreamEndsForGood(int messages, long bytes) throws Exception {
        try (Client small = builder(proxy.target()).maxOutstanding(messages, bytes).build()) {
            CompletableFuture<Receipt> sent = small.produce(message("has room"));
            CompletableFuture<Receipt> waiting = small.produce(message("none"));
            CompletableFuture<Receipt> behind = small.produce(message("none"));
            CompletableFuture<Void> flushed = small.flush();
            ScriptedProxy.ProduceStream stream = proxy.nextProduce();
            stream.nextIs("has room", 1);
            stream.terminate(ScriptedProxy.error(Code.PERMISSION_DENIED, "no", true));
            failsWith(Code.UNKNOWN_OUTCOME, sent);
            failsWith(Code.PERMISSION_DENIED, waiting);
            failsWith(Code.PERMISSION_DENIED, behind);
            flushed.get();
            small.awaitRoom();
            CompletableFuture<Receipt> later = small.produce(message("later"));
            stream = proxy.nextProduce();
            stream.nextIs("later", 1);
            stream.answer(1);
            later.get();
        }
    }

    @Test
    void closeFailsWhatIsUnanswered() throws Exception {
        client.close();
        client = builder(proxy.target()).maxOutstanding(1, 1000).build();
        CompletableFuture<Receipt> sent = client.produce(message("sent"));
        CompletableFuture<Receipt> waiting = client.produce(message("waiting"));
        proxy.nextProduce().nextIs("sent", 1);
        client.close();
        failsWith(Code.UNKNOWN_OUTCOME, sent);
        assertInstanceOf(ClosedException.class, failure(waiting));
    }

    @Test
    void everyCallOnAClosedClientFails() throws Exception {
        Subscription subscription = client.subscription("s", "t");
        client.close();
        assertInstanceOf(ClosedException.class, failure(client.produce(message("late"))));
        assertInstanceOf(ClosedException.class, failure(client.produce(message("late"), Duration.ofHours(1))));
        assertInstanceOf(ClosedException.class, failure(client.produce(message("late"), Duration.ZERO)));
        assertInstanceOf(ClosedException.class, failure(client.flush()));
        assertThrows(ClosedException.class, client::awaitRoom);
        assertThrows(ClosedException.class, () -> subscription.consume((message, context) -> { }));
        assertThrows(ClosedException.class, () -> client.subscription("s", "t").consume((message, context) -> { }));
        client.close();
    }

    @Test
    void whatWouldGoToAStreamThatHasEndedMeanwhileGoesToNone() throws Exception {
        CountDownLatch lost = new CountDownLatch(1);
        AtomicReference<Runnable> meanwhile = new AtomicReference<>(() -> { });
        client.close();
        client = Client.builder(proxy.target()).reconnectBackoff(Duration.ofHours(9), Duration.ofHours(9))
                .logger(new TestLogger(text -> lost.countDown()))
                .configureChannel(channel -> channel.intercept(new Interceptor() {
                    @Override
                    void ready() {
                        meanwhile.getAndSet(() -> { }).run();
                    }
                })).build();
        CompletableFuture<Receipt> first = client.produce(message("first"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("first", 1);
        stream.answer(1);
        first.get();
        meanwhile.set(() -> {
            stream.end(Status.UNAVAILABLE);
            try {
                lost.await();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
        CompletableFuture<Receipt> second = client.produce(message("second"));
        CompletableFuture<Void> flushed = client.flush();
        client.close();
        assertInstanceOf(ClosedException.class, failure(second), "it was never on the wire");
        flushed.get();
    }

    @Test
    void aCallThatAnInterceptorStartedAndFailedIsCut() throws Exception {
        CompletableFuture<ScriptedProxy.ProduceStream> cut = new CompletableFuture<>();
        client.close();
        client = builder(proxy.target()).configureChannel(channel -> channel.intercept(new Interceptor() {
            @Override
            void started() {
                if (cut.isDone()) {
                    return;
                }
                try {
                    ScriptedProxy.ProduceStream stream = proxy.nextProduce();
                    stream.nextIs("first", 1);
                    cut.complete(stream);
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
                throw new IllegalStateException("an interceptor's");
            }
        })).build();
        failsWith(Code.UNKNOWN_OUTCOME, client.produce(message("first")));
        cut.get().nextIsCancel();
        CompletableFuture<Receipt> second = client.produce(message("second"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("second", 1);
        stream.answer(1);
        second.get();
    }

    @Test
    void detailsThatAreNotWhatTheyShouldBeDoNoHarm() throws Exception {
        CompletableFuture<Receipt> lost = client.produce(message("lost"));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("lost", 1);
        stream.endMalformed();
        failsWith(Code.UNKNOWN_OUTCOME, lost);
        CompletableFuture<Receipt> next = client.produce(message("next"));
        stream = proxy.nextProduce();
        stream.nextIs("next", 1);
        stream.answer(1);
        next.get();
    }

    @Test
    void aLoggerThatThrowsLosesNoOutcome() throws Exception {
        client.close();
        client = builder(proxy.target()).logger(new TestLogger(text -> {
            throw new IllegalStateException("a logger's");
        })).build();
        losesAMessageWithItsStreamAndStoresTheNext();
    }

    @Test
    void headersThatAreNullAreRefusedWhereTheyAreGiven() {
        OutgoingMessage.Builder builder = OutgoingMessage.builder("orders");
        for (Executable call : List.<Executable>of(() -> builder.header(null), () -> builder.header(null, new byte[0]),
                () -> new Header(null, new byte[0]))) {
            assertEquals(Code.INVALID_ARGUMENT, assertThrows(MessageProxyException.class, call).code());
        }
    }

    @Test
    void theSizeOfAHeaderOfTwoGibibytesIsCountedRight() throws Exception {
        ByteString half = ByteString.copyFrom(new byte[1 << 20]);
        while (half.size() < 1 << 30) {
            half = half.concat(half); // which shares the bytes
        }
        Header header = new Header("h", half.concat(half.substring(1)));
        failsWith(Code.MESSAGE_TOO_LARGE, client.produce(OutgoingMessage.builder("orders").header(header).build()));
    }

    @Test
    void aFutureThatIsKeptDoesNotKeepItsMessage() {
        OutgoingMessage message = message("m");
        Pending pending = new Pending(null, message, message.size());
        assertSame(message, pending.message());
        pending.off();
        assertNull(pending.message());
    }

    @Test
    void aCallThatProducesFromTheFutureOfAnotherDoesNotStop() throws Exception {
        CompletableFuture<Receipt> chain = client.produce(message("1")).thenCompose(ok -> client.produce(message("2")));
        ScriptedProxy.ProduceStream stream = proxy.nextProduce();
        stream.nextIs("1", 1);
        stream.answer(1);
        stream.nextIs("2", 2);
        stream.answer(2);
        assertEquals("id-2", chain.get().messageId());
    }
}
