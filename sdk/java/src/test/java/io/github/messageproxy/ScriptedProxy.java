package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.fail;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.ConsumeResponse;
import io.github.messageproxy.v1.Error;
import io.github.messageproxy.v1.MessageBatch;
import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.MessageReceipt;
import io.github.messageproxy.v1.PartitionMessages;
import io.github.messageproxy.v1.ProduceRequest;
import io.github.messageproxy.v1.ProduceResponse;
import io.github.messageproxy.v1.ProduceResult;
import io.github.messageproxy.v1.Subscribed;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A proxy on loopback that does what a test says, stream by stream. */
final class ScriptedProxy implements AutoCloseable {
    static final long PATIENCE_SECONDS = 20;

    private final BlockingQueue<ProduceStream> produces = new LinkedBlockingQueue<>();
    private final BlockingQueue<ConsumeStream> consumes = new LinkedBlockingQueue<>();
    private final Server server;

    ScriptedProxy() throws IOException {
        this(0);
    }

    ScriptedProxy(int port) throws IOException {
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
                .addService(new Service())
                .build()
                .start();
    }

    String target() {
        return "127.0.0.1:" + server.getPort();
    }

    int port() {
        return server.getPort();
    }

    ProduceStream nextProduce() throws InterruptedException {
        return taken(produces, "produce stream");
    }

    ConsumeStream nextConsume() throws InterruptedException {
        return taken(consumes, "consume stream");
    }

    private static <T> T taken(BlockingQueue<T> queue, String what) throws InterruptedException {
        T taken = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        assertNotNull(taken, "no " + what + " came");
        return taken;
    }

    /** Cuts all connections. */
    @Override
    public void close() throws InterruptedException {
        server.shutdownNow().awaitTermination();
    }

    static Error error(Code code, String message, boolean retryable) {
        return Error.newBuilder().setCodeValue(code.number()).setMessage(message).setRetryable(retryable).build();
    }

    private final class Service extends MessageProxyGrpc.MessageProxyImplBase {
        @Override
        public StreamObserver<ProduceRequest> produce(StreamObserver<ProduceResponse> out) {
            ProduceStream stream = new ProduceStream(out);
            produces.add(stream);
            return stream;
        }

        @Override
        public StreamObserver<ConsumeRequest> consume(StreamObserver<ConsumeResponse> out) {
            ConsumeStream stream = new ConsumeStream(out);
            consumes.add(stream);
            return stream;
        }
    }

    /** A stream from the side of the server. */
    abstract static class Stream<I, O> implements StreamObserver<I> {
        private static final Object HALF_CLOSED = "half-closed";
        private static final Object CANCELLED = "cancelled";

        private final BlockingQueue<Object> requests = new LinkedBlockingQueue<>();
        final StreamObserver<O> out;

        Stream(StreamObserver<O> out) {
            this.out = out;
        }

        @Override
        public void onNext(I request) {
            requests.add(request);
        }

        @Override
        public void onError(Throwable thrown) {
            requests.add(CANCELLED);
        }

        @Override
        public void onCompleted() {
            requests.add(HALF_CLOSED);
        }

        @SuppressWarnings("unchecked")
        I next() throws InterruptedException {
            Object next = taken(requests, "request");
            if (next == HALF_CLOSED || next == CANCELLED) {
                fail("the stream is " + next);
            }
            return (I) next;
        }

        void nextIsHalfClose() throws InterruptedException {
            Object next = taken(requests, "half-close");
            if (next != HALF_CLOSED) {
                fail("not a half-close but " + next);
            }
        }

        void hasNothing() {
            assertNull(requests.peek(), "a request that should not be there");
        }

        void end(Status status) {
            out.onError(status.asRuntimeException());
        }

        /** Ends the stream with details that aren't what they should be. */
        void endMalformed() {
            Metadata trailers = new Metadata();
            trailers.put(Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER),
                    new byte[] {-1, -1, -1});
            out.onError(Status.UNAVAILABLE.asRuntimeException(trailers));
        }

        /** Waits until the client has cut the stream. */
        void nextIsCancel() throws InterruptedException {
            Object next = taken(requests, "cancellation");
            if (next != CANCELLED) {
                fail("not a cancellation but " + next);
            }
        }

        void endOk() {
            out.onCompleted();
        }
    }

    /** A produce stream. */
    static final class ProduceStream extends Stream<ProduceRequest, ProduceResponse> {
        private final BlockingQueue<io.github.messageproxy.v1.OutgoingMessage> left = new LinkedBlockingQueue<>();

        private ProduceStream(StreamObserver<ProduceResponse> out) {
            super(out);
        }

        io.github.messageproxy.v1.OutgoingMessage nextMessage() throws InterruptedException {
            while (left.isEmpty()) {
                left.addAll(next().getMessagesList());
            }
            return left.take();
        }

        void nextIs(String value, long sequence) throws InterruptedException {
            var message = nextMessage();
            if (!message.getValue().toStringUtf8().equals(value) || message.getSequence() != sequence) {
                fail("not " + value + " with sequence " + sequence + " but " + message);
            }
        }

        void answer(long sequence) {
            out.onNext(ProduceResponse.newBuilder().addResults(ProduceResult.newBuilder().setSequence(sequence)
                    .setReceipt(MessageReceipt.newBuilder().setMessageId("id-" + sequence).setPartition(3)
                            .setTimestampMs(1700000000000L))).build());
        }

        void answer(long sequence, Error error) {
            out.onNext(ProduceResponse.newBuilder()
                    .addResults(ProduceResult.newBuilder().setSequence(sequence).setError(error)).build());
        }

        void terminate(Error error) {
            out.onNext(ProduceResponse.newBuilder().setTerminalError(error).build());
            end(Status.UNAVAILABLE);
        }
    }

    /** A consume stream. */
    static final class ConsumeStream extends Stream<ConsumeRequest, ConsumeResponse> {
        private ConsumeStream(StreamObserver<ConsumeResponse> out) {
            super(out);
        }

        /** Takes the subscribe request and accepts it. */
        ConsumeStream accept(java.time.Duration ackTimeout) throws InterruptedException {
            if (!next().hasSubscribe()) {
                fail("the first request is no subscribe");
            }
            out.onNext(ConsumeResponse.newBuilder().setSubscribed(Subscribed.newBuilder().setMaxUnackedMessages(1000)
                    .setAckTimeout(Duration.newBuilder().setSeconds(ackTimeout.getSeconds())
                            .setNanos(ackTimeout.getNano()))).build());
            return this;
        }

        ConsumeStream accept() throws InterruptedException {
            return accept(java.time.Duration.ofMinutes(1));
        }

        void deliver(int partition, String... ids) {
            PartitionMessages.Builder messages =
                    PartitionMessages.newBuilder().setTopic("orders").setPartition(partition);
            for (String id : ids) {
                messages.addMessages(io.github.messageproxy.v1.Message.newBuilder().setId(id)
                        .setValue(ByteString.copyFromUtf8("value of " + id)).setDeliveryAttempt(1));
            }
            MessageBatch batch = MessageBatch.newBuilder().addPartitions(messages).build();
            out.onNext(ConsumeResponse.newBuilder().setBatch(batch).build());
        }

        void notice(Error error) {
            out.onNext(ConsumeResponse.newBuilder().setNotice(error).build());
        }

        void nextIsLeave() throws InterruptedException {
            ConsumeRequest next = next();
            if (!next.hasLeave()) {
                fail("not leave but " + next);
            }
        }

        void nextIsAck(String id) throws InterruptedException {
            ConsumeRequest next = next();
            if (!next.hasAck() || !next.getAck().getMessageIdsList().equals(List.of(id))) {
                fail("not an ACK of " + id + " but " + next);
            }
        }

        void terminate(Error error) {
            out.onNext(ConsumeResponse.newBuilder().setTerminalError(error).build());
            end(Status.UNAVAILABLE);
        }
    }
}
