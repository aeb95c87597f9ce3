package io.github.messageproxy;

import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.ProduceRequest;
import io.github.messageproxy.v1.ProduceResponse;
import io.grpc.Channel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** One stream of a producer. The producer's lock guards its state, but for what gRPC's callbacks alone use. */
final class ProduceStream implements ClientResponseObserver<ProduceRequest, ProduceResponse>, Connection.Stream {
    /** About how much goes into one frame. */
    private static final int MAX_FRAME_BYTES = 256 << 10;
    /** What a message costs on the wire beside its own bytes, roughly. */
    private static final int PER_MESSAGE_BYTES = 32;

    private final Producer producer;
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private ClientCallStreamObserver<ProduceRequest> call; // set before the call is started
    private FrameWriter<ProduceRequest> writer; // likewise

    /** What was given to the stream and has no result yet, by sequence and in its order. */
    private final Map<Long, Pending> unanswered = new LinkedHashMap<>();
    private long sequence;
    private boolean progressed; // a result has come
    private boolean halfClosed;

    private volatile boolean open; // its connection stands
    private MessageProxyException terminal; // gRPC's callbacks'

    ProduceStream(Producer producer) {
        this.producer = producer;
    }

    @Override
    public void start(Channel channel) {
        MessageProxyGrpc.newStub(channel).withOnReadyThreshold(1).produce(this);
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ProduceRequest> call) {
        this.call = call;
        writer = new FrameWriter<>(call, producer.writers(), this::nextFrame);
        call.setOnReadyHandler(this::ready);
    }

    private void ready() {
        if (!open) {
            open = true;
            producer.connected();
        }
        write();
    }

    /** Writes what there is to write, if the stream is ready. */
    void write() {
        if (open) {
            writer.write();
        }
    }

    /** As write, but if others are on the wire there are likely to be more, for which it waits a moment. */
    void writeNew(boolean alone) {
        if (!open) {
            return;
        }
        if (alone) {
            writer.write();
        } else {
            writer.writeSoon();
        }
    }

    /** Whether nothing is on the wire. Called with the lock held. */
    boolean isQuiet() {
        return unanswered.isEmpty();
    }

    private FrameWriter.Frame<ProduceRequest> nextFrame() {
        List<OutgoingMessage> messages;
        long first;
        producer.mu.lock();
        try {
            if (!producer.uses(this)) {
                return null; // it has ended meanwhile: what it got now would never have an outcome
            }
            List<Pending> taken = producer.takeFrame(MAX_FRAME_BYTES, PER_MESSAGE_BYTES);
            if (taken.isEmpty()) {
                if (!producer.closedLocked() || halfClosed) {
                    return null;
                }
                halfClosed = true;
                return ClientCallStreamObserver::onCompleted;
            }
            first = sequence + 1;
            messages = new ArrayList<>(taken.size());
            for (Pending m : taken) {
                unanswered.put(++sequence, m);
                messages.add(m.message());
            }
        } finally {
            producer.mu.unlock();
        }
        return call -> call.onNext(encode(messages, first));
    }

    private static ProduceRequest encode(List<OutgoingMessage> messages, long firstSequence) {
        ProduceRequest.Builder frame = ProduceRequest.newBuilder();
        for (int i = 0; i < messages.size(); i++) {
            frame.addMessages(messages.get(i).toWire(firstSequence + i));
        }
        return frame.build();
    }

    @Override
    public void onNext(ProduceResponse response) {
        if (response.getResultsCount() > 0) {
            producer.answered(this, response.getResultsList());
        }
        if (response.hasTerminalError()) {
            terminal = Errors.fromWire(response.getTerminalError());
        }
    }

    @Override
    public void onError(Throwable thrown) {
        end(terminal != null ? terminal : Errors.ofStream(thrown));
    }

    @Override
    public void onCompleted() {
        end(terminal != null ? terminal : Errors.endOfStream());
    }

    @Override
    public void abandon(Throwable cause) {
        if (call != null) {
            call.cancel("the stream could not be started", cause);
        }
    }

    private void end(MessageProxyException reason) {
        producer.ended(this, reason);
        ended.complete(null);
    }

    /** Completes when the stream has ended. */
    CompletableFuture<Void> ended() {
        return ended;
    }

    boolean isOpen() {
        return open;
    }

    /** Whether the stream ends because the client was closed. */
    boolean closing() {
        producer.mu.lock();
        try {
            return producer.closedLocked();
        } finally {
            producer.mu.unlock();
        }
    }

    /** Whether a result has come. Called with the lock held. */
    boolean progressed() {
        return progressed;
    }

    /** The message with a sequence, which has its result now; null if none is awaited. Called with the lock held. */
    Pending takeUnanswered(long sequence) {
        Pending m = unanswered.remove(sequence);
        progressed |= m != null;
        return m;
    }

    /** What has no result, in the order of the sequences. Called with the lock held. */
    List<Pending> unanswered() {
        return new ArrayList<>(unanswered.values());
    }

    /** As unanswered; nothing is, afterwards. Called with the lock held. */
    List<Pending> takeUnanswered() {
        List<Pending> messages = unanswered();
        unanswered.clear();
        return messages;
    }
}
