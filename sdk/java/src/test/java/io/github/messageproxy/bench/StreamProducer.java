package io.github.messageproxy.bench;

import com.google.protobuf.ByteString;
import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.MessageReceipt;
import io.github.messageproxy.v1.OutgoingMessage;
import io.github.messageproxy.v1.ProduceRequest;
import io.github.messageproxy.v1.ProduceResponse;
import io.github.messageproxy.v1.ProduceResult;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;

/**
 * Produces by the generated stubs: a thread sends what has gathered whenever the stream is ready for more, and gRPC's
 * completes futures with the results.
 */
final class StreamProducer implements ClientResponseObserver<ProduceRequest, ProduceResponse>, AutoCloseable {
    private final ManagedChannel channel;
    private ClientCallStreamObserver<ProduceRequest> requests; // the sender's
    private final int frameMessages;
    private long lastSequence; // guarded by this
    private final Queue<OutgoingMessage> queue = new ArrayDeque<>(); // guarded by this
    private final Map<Long, CompletableFuture<MessageReceipt>> unanswered = new ConcurrentHashMap<>();
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final Thread sender = new Thread(this::send);

    StreamProducer(String target, int frameMessages) {
        this.frameMessages = frameMessages;
        channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
        // A frame at a time is on its way to the network: what gathers meanwhile is the next one.
        MessageProxyGrpc.newStub(channel).withOnReadyThreshold(1).produce(this);
        sender.start();
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ProduceRequest> stream) {
        requests = stream;
        stream.setOnReadyHandler(this::wakeSender);
    }

    private synchronized void wakeSender() {
        notifyAll();
    }

    synchronized CompletableFuture<MessageReceipt> produce(String topic, byte[] value) {
        long sequence = ++lastSequence;
        CompletableFuture<MessageReceipt> receipt = new CompletableFuture<>();
        unanswered.put(sequence, receipt);
        queue.add(OutgoingMessage.newBuilder()
                .setSequence(sequence).setTopic(topic).setValue(ByteString.copyFrom(value)).build());
        if (queue.size() == 1) {
            wakeSender();
        }
        return receipt;
    }

    private void send() {
        try {
            while (true) {
                requests.onNext(nextFrame());
            }
        } catch (InterruptedException e) {
            requests.onCompleted();
        }
    }

    private synchronized ProduceRequest nextFrame() throws InterruptedException {
        while (queue.isEmpty() || !requests.isReady()) {
            wait();
        }
        ProduceRequest.Builder frame = ProduceRequest.newBuilder();
        while (!queue.isEmpty() && frame.getMessagesCount() < frameMessages) {
            frame.addMessages(queue.remove());
        }
        return frame.build();
    }

    @Override
    public void onNext(ProduceResponse response) {
        for (ProduceResult result : response.getResultsList()) {
            CompletableFuture<MessageReceipt> receipt = unanswered.remove(result.getSequence());
            if (receipt == null) {
                throw new IllegalStateException("nobody awaits the result " + result);
            }
            if (result.hasReceipt()) {
                receipt.complete(result.getReceipt());
            } else {
                receipt.completeExceptionally(new IllegalStateException("a message was refused: " + result));
            }
        }
    }

    @Override
    public void onError(Throwable thrown) {
        unanswered.values().forEach(receipt -> receipt.completeExceptionally(thrown));
        ended.completeExceptionally(thrown);
    }

    @Override
    public void onCompleted() {
        unanswered.values().forEach(receipt ->
                receipt.completeExceptionally(new IllegalStateException("the server has ended the stream")));
        ended.complete(null);
    }

    /** Ends the stream, when everything is answered. */
    @Override
    public void close() throws InterruptedException, ExecutionException {
        sender.interrupt(); // it half-closes
        try {
            ended.get();
        } finally {
            channel.shutdownNow();
        }
    }
}
