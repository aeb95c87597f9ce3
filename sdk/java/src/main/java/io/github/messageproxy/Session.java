package io.github.messageproxy;

import com.google.protobuf.Duration;
import io.github.messageproxy.v1.AckRequest;
import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.ConsumeResponse;
import io.github.messageproxy.v1.LeaveRequest;
import io.github.messageproxy.v1.MessageBatch;
import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.PartitionMessages;
import io.github.messageproxy.v1.Subscribed;
import io.github.messageproxy.v1.Withdrawn;
import io.grpc.Channel;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;

/**
 * One stream of a consumer: what was delivered on it and which ACKs are to be sent on it, and on no other. The
 * consumer's lock guards its state, but for what gRPC's callbacks alone use.
 */
final class Session implements ClientResponseObserver<ConsumeRequest, ConsumeResponse>, Connection.Stream {
    /** What a session knows of a partition that messages came from. */
    static final class Partition {
        final Session session;
        /** No handler begins any more; ACKs still count. */
        boolean withdrawn;
        /** ACKs don't count any more either; handlers were told to end. Read without the lock too. */
        volatile boolean gone;
        /** Ends the time left of a withdrawn partition; or null. */
        private Future<?> timer;

        private Partition(Session session) {
            this.session = session;
        }
    }

    private final ConsumerImpl consumer;
    private final ConsumeRequest subscribe;
    private ClientCallStreamObserver<ConsumeRequest> call; // guarded by this
    private boolean started; // the call may be cancelled; guarded by this
    private boolean cancelled; // guarded by this
    private FrameWriter<ConsumeRequest> writer; // set before the stream is open
    private volatile boolean open; // its connection stands
    private volatile long openedAt; // when that began
    private MessageProxyException terminal; // gRPC's callbacks'

    /** Partitions to which new messages belong. */
    private final Map<TopicPartition, Partition> partitions = new HashMap<>();
    /** These, and those withdrawn that have time left. */
    private final Set<Partition> live = new HashSet<>();
    private long ackTimeout; // in nanoseconds; 0: unknown
    private boolean progressed; // a message has come

    // What the writer is to send, and what it has.
    private final Acks acks = new Acks();
    private volatile boolean leaving; // send leave
    private volatile boolean finishing; // when the ACKs are sent, half-close
    private boolean subscribed; // subscribe was sent
    private boolean left;
    private boolean halfClosed;

    Session(ConsumerImpl consumer, ConsumeRequest subscribe) {
        this.consumer = consumer;
        this.subscribe = subscribe;
    }

    @Override
    public void start(Channel channel) {
        MessageProxyGrpc.newStub(channel).withOnReadyThreshold(1).consume(this);
        synchronized (this) {
            started = true;
            if (cancelled) {
                cutCall();
            }
        }
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<ConsumeRequest> stream) {
        synchronized (this) {
            call = stream;
        }
        writer = new FrameWriter<>(stream, consumer.writers(), this::nextFrame);
        stream.setOnReadyHandler(this::ready);
    }

    private void ready() {
        if (!open) {
            openedAt = System.nanoTime();
            open = true;
        }
        write();
    }

    /** Cuts the stream, now or when it has been started. */
    synchronized void cancel() {
        cancelled = true;
        if (started) {
            cutCall();
        }
    }

    @Override
    public synchronized void abandon(Throwable cause) {
        if (call != null) {
            call.cancel("the stream could not be started", cause);
        }
    }

    private void cutCall() {
        call.cancel("the consumer has ended", null);
    }

    /** Writes what there is to write, if the stream is ready. */
    void write() {
        if (open) {
            writer.write();
        }
    }

    private FrameWriter.Frame<ConsumeRequest> nextFrame() {
        if (halfClosed) {
            return null; // an ACK now is one of a handler that was left behind
        }
        if (!subscribed) {
            subscribed = true;
            return stream -> stream.onNext(subscribe);
        }
        if (leaving && !left) {
            left = true;
            return stream -> stream.onNext(
                    ConsumeRequest.newBuilder().setLeave(LeaveRequest.getDefaultInstance()).build());
        }
        boolean last = finishing; // before the ACKs are looked at: all that count were there when it was set
        AckRequest frame = acks.take();
        if (frame != null) {
            return stream -> stream.onNext(ConsumeRequest.newBuilder().setAck(frame).build());
        }
        halfClosed = last;
        return last ? ClientCallStreamObserver::onCompleted : null;
    }

    @Override
    public void onNext(ConsumeResponse response) {
        switch (response.getResponseCase()) {
            case BATCH -> deliver(response.getBatch());
            case SUBSCRIBED -> subscribed(response.getSubscribed());
            case ASSIGNMENT -> consumer.event(Event.assigned(partitions(response.getAssignment().getPartitionsList())));
            case WITHDRAWN -> withdraw(response.getWithdrawn());
            case ERROR -> consumer.event(Event.about(Event.Kind.TROUBLE, Errors.fromWire(response.getError())));
            case RECOVERED -> consumer.event(Event.about(Event.Kind.RECOVERED, new MessageProxyException(
                    response.getRecovered().getCodeValue(), "", true, List.of(), null)));
            case NOTICE -> consumer.event(Event.about(Event.Kind.NOTICE, Errors.fromWire(response.getNotice())));
            case TERMINAL_ERROR -> terminal = Errors.fromWire(response.getTerminalError());
            case RESPONSE_NOT_SET -> { } // of a newer server
        }
    }

    @Override
    public void onError(Throwable thrown) {
        consumer.ended(this, terminal != null ? terminal : Errors.ofStream(thrown));
    }

    @Override
    public void onCompleted() {
        consumer.ended(this, terminal != null ? terminal : Errors.endOfStream());
    }

    private void subscribed(Subscribed in) {
        java.time.Duration timeout = duration(in.getAckTimeout());
        consumer.mu.lock();
        try {
            ackTimeout = Backoff.nanos(timeout);
        } finally {
            consumer.mu.unlock();
        }
        consumer.event(Event.connected(in.getMaxUnackedMessages(), timeout));
    }

    /** Queues messages for their handlers. The server's limit of unacknowledged messages bounds how many there are. */
    private void deliver(MessageBatch batch) {
        boolean startsRunner;
        consumer.mu.lock();
        try {
            if (consumer.isStopping()) {
                return; // they go to others when the stream ends
            }
            for (PartitionMessages in : batch.getPartitionsList()) {
                if (in.getMessagesCount() > 0) {
                    deliver(new TopicPartition(in.getTopic(), in.getPartition()), in.getMessagesList());
                }
            }
            startsRunner = consumer.startsRunner();
        } finally {
            consumer.mu.unlock();
        }
        if (startsRunner) {
            consumer.startRunner();
        }
    }

    /** Called with the lock held. */
    private void deliver(TopicPartition from, List<io.github.messageproxy.v1.Message> messages) {
        progressed = true;
        Partition partition = partition(from);
        List<Lanes.Task> tasks = new ArrayList<>(messages.size());
        for (io.github.messageproxy.v1.Message message : messages) {
            tasks.add(new Lanes.Task(partition, new Message(from, message)));
        }
        consumer.push(from, tasks);
    }

    /** The partition, which is a new one if it was withdrawn before. */
    private Partition partition(TopicPartition name) {
        Partition known = partitions.get(name);
        if (known != null && !known.withdrawn) {
            return known;
        }
        Partition partition = new Partition(this);
        partitions.put(name, partition);
        live.add(partition);
        return partition;
    }

    /** Drops what hasn't begun of the partitions, and tells what has to end when the time left is over. */
    private void withdraw(Withdrawn in) {
        List<TopicPartition> names = partitions(in.getPartitionsList());
        java.time.Duration left = duration(in.getTimeLeft());
        Effects effects = new Effects();
        consumer.mu.lock();
        try {
            List<Partition> over = new ArrayList<>();
            for (TopicPartition name : names) {
                Partition partition = partitions.get(name);
                if (partition == null || partition.gone) {
                    continue;
                }
                partition.withdrawn = true;
                if (left.isZero() || left.isNegative()) {
                    over.add(partition);
                } else if (partition.timer == null) {
                    partition.timer = consumer.after(Backoff.nanos(left), () -> endLater(partition));
                }
            }
            consumer.purge(task -> task.partition().withdrawn);
            end(over, effects);
        } finally {
            consumer.mu.unlock();
        }
        effects.run(consumer.log());
        consumer.event(Event.withdrawn(names, left));
    }

    private void endLater(Partition partition) {
        Effects effects = new Effects();
        consumer.mu.lock();
        try {
            end(List.of(partition), effects);
        } finally {
            consumer.mu.unlock();
        }
        effects.run(consumer.log());
    }

    /** Lets nothing of partitions count any more. Called with the lock held. */
    private void end(List<Partition> over, Effects effects) {
        for (Partition partition : over) {
            live.remove(partition);
            partition.withdrawn = true;
            partition.gone = true;
            if (partition.timer != null) {
                partition.timer.cancel(false);
            }
        }
        consumer.purge(task -> task.partition().gone);
        consumer.cancelHandlers(task -> task.partition().gone, effects);
    }

    /** Lets nothing of the session count any more. Called with the lock held. */
    void end(Effects effects) {
        end(List.copyOf(live), effects);
    }

    /** Has the ACK of a message sent, if it still counts. Called without the lock. */
    void ack(Lanes.Task task) {
        if (!task.partition().gone) {
            acks.add(task.message().id());
            writer.writeSoon();
        }
    }

    /** Asks for no more messages. Called with the lock held. */
    void leave(Effects effects) {
        leaving = true;
        effects.add(this::write);
    }

    /** Ends the stream when all ACKs are sent. Called with the lock held; does nothing the second time. */
    boolean finish(Effects effects) {
        if (finishing) {
            return false;
        }
        finishing = true;
        effects.add(this::write);
        return true;
    }

    boolean isOpen() {
        return open;
    }

    /** In nanoseconds. Called with the lock held. */
    long ackTimeout() {
        return ackTimeout;
    }

    /** Whether a message has come, or the stream has lasted for a time in nanoseconds. Called with the lock held. */
    boolean progressed(long lasting) {
        return progressed || (open && System.nanoTime() - openedAt > lasting);
    }

    private static List<TopicPartition> partitions(List<io.github.messageproxy.v1.TopicPartition> in) {
        List<TopicPartition> names = new ArrayList<>(in.size());
        in.forEach(partition -> names.add(new TopicPartition(partition.getTopic(), partition.getPartition())));
        return List.copyOf(names);
    }

    /** A duration of the server, whatever it is: one that is too long becomes the longest there is. */
    private static java.time.Duration duration(Duration in) {
        try {
            return java.time.Duration.ofSeconds(in.getSeconds(), in.getNanos());
        } catch (ArithmeticException e) {
            return java.time.Duration.ofSeconds(in.getSeconds());
        }
    }
}
