package io.github.messageproxy.bench;

import io.github.messageproxy.v1.AckRequest;
import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.ConsumeResponse;
import io.github.messageproxy.v1.Message;
import io.github.messageproxy.v1.MessageBatch;
import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.PartitionMessages;
import io.github.messageproxy.v1.SubscribeRequest;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Consumes by the generated stubs: handles the messages of a batch one after another, and ACKs them together. */
final class StreamConsumer implements ClientResponseObserver<ConsumeRequest, ConsumeResponse>, AutoCloseable {
    /** Handles a message; when it returns, the message is ACKed. */
    interface Handler {
        void handle(int partition, Message message);
    }

    private final Handler handler;
    private final ManagedChannel channel;
    private final CompletableFuture<Void> completion = new CompletableFuture<>();
    private ClientCallStreamObserver<ConsumeRequest> requests; // guarded by this, but for the first request
    private boolean halfClosed; // guarded by this

    StreamConsumer(String target, String subscription, String topic, Handler handler) {
        this.handler = handler;
        channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
                .maxInboundMessageSize(Integer.MAX_VALUE) // of batches, whatever the messages in them
                .build();
        MessageProxyGrpc.newStub(channel).consume(this);
        requests.onNext(ConsumeRequest.newBuilder()
                .setSubscribe(SubscribeRequest.newBuilder().setSubscription(subscription).addTopics(topic))
                .build());
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ConsumeRequest> stream) {
        requests = stream;
    }

    @Override
    public void onNext(ConsumeResponse response) {
        if (response.hasTerminalError()) {
            throw new IllegalStateException("the server ends the stream: " + response.getTerminalError());
        }
        if (response.hasBatch()) {
            handle(response.getBatch());
        }
    }

    private synchronized void handle(MessageBatch batch) {
        if (halfClosed) {
            return; // its messages go to others
        }
        AckRequest.Builder ack = AckRequest.newBuilder();
        for (PartitionMessages partition : batch.getPartitionsList()) {
            for (Message message : partition.getMessagesList()) {
                handler.handle(partition.getPartition(), message);
                ack.addMessageIds(message.getId());
            }
        }
        requests.onNext(ConsumeRequest.newBuilder().setAck(ack).build());
    }

    @Override
    public void onError(Throwable thrown) {
        completion.completeExceptionally(thrown);
    }

    @Override
    public void onCompleted() {
        completion.complete(null);
    }

    CompletableFuture<Void> completion() {
        return completion;
    }

    /** ACKs what is handled, half-closes, and waits for the end of the stream. */
    @Override
    public void close() throws InterruptedException, ExecutionException {
        synchronized (this) {
            halfClosed = true;
            requests.onCompleted();
        }
        try {
            completion.get();
        } finally {
            channel.shutdownNow();
        }
    }
}
