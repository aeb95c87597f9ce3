package io.github.messageproxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.MessageReceipt;
import io.github.messageproxy.v1.ProduceRequest;
import io.github.messageproxy.v1.ProduceResponse;
import io.github.messageproxy.v1.ProduceResult;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What outcomes say is true, whatever the server and the callers do. */
@Timeout(120)
class ProduceOutcomesTest {
    private static final int THREADS = 4;
    private static final int MESSAGES_OF_A_THREAD = 5_000;

    /** Stores messages, or does not; loses answers; ends streams in several ways. */
    private static final class UnreliableService extends MessageProxyGrpc.MessageProxyImplBase {
        private final Random random = new Random(1); // guarded by this
        private final Map<String, Integer> stored = new HashMap<>(); // how often; guarded by this
        private final List<String> order = new ArrayList<>(); // guarded by this

        @Override
        public StreamObserver<ProduceRequest> produce(StreamObserver<ProduceResponse> out) {
            return new StreamObserver<>() {
                private boolean ended;

                @Override
                public void onNext(ProduceRequest request) {
                    synchronized (UnreliableService.this) {
                        ended = ended || take(request, out);
                    }
                }

                @Override
                public void onError(Throwable thrown) {
                    // The client has gone.
                }

                @Override
                public void onCompleted() {
                    out.onCompleted();
                }
            };
        }

        /** Tells whether that ended the stream. */
        private boolean take(ProduceRequest request, StreamObserver<ProduceResponse> out) {
            int fate = random.nextInt(20);
            ProduceResponse.Builder response = ProduceResponse.newBuilder();
            boolean shuttingDown = false;
            for (var message : request.getMessagesList()) {
                shuttingDown |= fate == 0 && random.nextInt(4) == 0; // after some are stored
                if (shuttingDown) {
                    continue;
                }
                ProduceResult.Builder result = response.addResultsBuilder().setSequence(message.getSequence());
                if (random.nextInt(50) == 0) {
                    result.setError(ScriptedProxy.error(Code.MESSAGE_TOO_LARGE, "no", false));
                    continue;
                }
                String value = message.getValue().toStringUtf8();
                stored.merge(value, 1, Integer::sum);
                order.add(value);
                result.setReceipt(MessageReceipt.newBuilder().setMessageId(value));
            }
            if (fate == 1) { // the answer is lost
                out.onError(Status.UNAVAILABLE.asRuntimeException());
                return true;
            }
            out.onNext(response.build());
            if (fate == 0) {
                out.onNext(ProduceResponse.newBuilder()
                        .setTerminalError(ScriptedProxy.error(Code.SHUTTING_DOWN, "bye", true)).build());
                out.onError(Status.UNAVAILABLE.asRuntimeException());
            } else if (fate == 2) {
                out.onCompleted();
            }
            return fate == 0 || fate == 2;
        }
    }

    @Test
    void everyMessageHasOneOutcomeAndThatIsTrue() throws Exception {
        UnreliableService service = new UnreliableService();
        Server server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(service).build().start();
        Map<String, CompletableFuture<Receipt>> calls = new HashMap<>();
        try (Client client = Client.builder("127.0.0.1:" + server.getPort()).maxOutstanding(300, 1 << 20)
                .reconnectBackoff(Duration.ofMillis(1), Duration.ofMillis(2)).build()) {
            List<CompletableFuture<Map<String, CompletableFuture<Receipt>>>> threads = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                int thread = i;
                threads.add(CompletableFuture.supplyAsync(
                        () -> produce(client, thread), task -> new Thread(task).start()));
            }
            for (var thread : threads) {
                calls.putAll(thread.get());
            }
            client.flush().get(60, TimeUnit.SECONDS);
            client.awaitRoom();
        } finally {
            server.shutdownNow().awaitTermination();
        }
        synchronized (service) {
            calls.forEach((value, call) -> check(value, call, service.stored.getOrDefault(value, 0)));
            checkOrder(service.order);
        }
    }

    /** Produces, and ends some of the calls. */
    private static Map<String, CompletableFuture<Receipt>> produce(Client client, int thread) {
        Random random = new Random(thread);
        Map<String, CompletableFuture<Receipt>> calls = new HashMap<>();
        List<CompletableFuture<Receipt>> latest = new ArrayList<>();
        for (int i = 0; i < MESSAGES_OF_A_THREAD; i++) {
            if (random.nextInt(4) > 0) {
                try {
                    client.awaitRoom();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
            String value = thread + "/" + i;
            OutgoingMessage message = OutgoingMessage.builder("orders").value(value.getBytes(UTF_8)).build();
            Duration timeout = random.nextInt(10) == 0 ? Duration.ofNanos(random.nextInt(2_000_000)) : null;
            CompletableFuture<Receipt> call = client.produce(message, timeout);
            calls.put(value, call);
            latest.add(call);
            if (random.nextInt(20) == 0) {
                latest.get(latest.size() - 1 - random.nextInt(Math.min(50, latest.size()))).cancel(true);
            }
        }
        return calls;
    }

    private static void check(String value, CompletableFuture<Receipt> call, int stored) {
        assertTrue(call.isDone(), value + " has no outcome");
        assertTrue(stored <= 1, value + " was sent twice");
        if (!call.isCompletedExceptionally()) {
            assertEquals(1, stored, value + " has a receipt");
            assertEquals(value, call.join().messageId());
            return;
        }
        boolean unknown = call.handle((receipt, error) ->
                error instanceof MessageProxyException e && e.code() == Code.UNKNOWN_OUTCOME).join();
        if (!unknown) {
            assertEquals(0, stored, value + " is certainly not stored");
        }
    }

    private static void checkOrder(List<String> stored) {
        Map<String, Integer> last = new HashMap<>();
        for (String value : stored) {
            String[] parts = value.split("/");
            Integer before = last.put(parts[0], Integer.valueOf(parts[1]));
            assertFalse(before != null && before > Integer.parseInt(parts[1]), value + " came after " + before);
        }
    }
}
