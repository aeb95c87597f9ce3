package io.github.messageproxy;

import com.google.protobuf.Duration;
import io.github.messageproxy.v1.Assignment;
import io.github.messageproxy.v1.ConsumeRequest;
import io.github.messageproxy.v1.ConsumeResponse;
import io.github.messageproxy.v1.MessageBatch;
import io.github.messageproxy.v1.MessageProxyGrpc;
import io.github.messageproxy.v1.MessageReceipt;
import io.github.messageproxy.v1.PartitionMessages;
import io.github.messageproxy.v1.ProduceRequest;
import io.github.messageproxy.v1.ProduceResponse;
import io.github.messageproxy.v1.ProduceResult;
import io.github.messageproxy.v1.Subscribed;
import io.github.messageproxy.v1.TopicPartition;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * A proxy in memory, on loopback, that does what a real one does where nothing goes wrong: topics have one partition,
 * whose owner is the subscription's oldest client. For tests of whole programs.
 */
public final class MemoryProxy implements AutoCloseable {
    private final Map<String, List<io.github.messageproxy.v1.Message>> topics = new HashMap<>(); // guarded by this
    private final Map<String, List<Member>> members = new HashMap<>(); // by subscription; guarded by this
    private final Map<String, Set<String>> acked = new HashMap<>(); // by subscription; guarded by this
    private final Server server;

    /**
     * Starts it.
     *
     * @throws IOException if it can't listen
     */
    public MemoryProxy() throws IOException {
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(new Service()).build().start();
    }

    /** Where it listens. */
    public String target() {
        return "127.0.0.1:" + server.getPort();
    }

    /** What a topic has. */
    public synchronized List<io.github.messageproxy.v1.Message> messages(String topic) {
        return List.copyOf(topics.getOrDefault(topic, List.of()));
    }

    /** Waits until a subscription has so many ACKs. */
    public void awaitAcked(String subscription, int count) throws InterruptedException {
        await(() -> acked.getOrDefault(subscription, Set.of()).size() >= count, count + " ACKs of " + subscription);
    }

    /** Waits until a topic has so many messages. */
    public void awaitMessages(String topic, int count) throws InterruptedException {
        await(() -> topics.getOrDefault(topic, List.of()).size() >= count, count + " messages of " + topic);
    }

    private synchronized void await(BooleanSupplier condition, String what) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!condition.getAsBoolean()) {
            long left = deadline - System.nanoTime();
            if (left <= 0) {
                throw new AssertionError("waited in vain for " + what);
            }
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    @Override
    public void close() throws InterruptedException {
        server.shutdownNow().awaitTermination();
    }

    private static final class Member {
        private final StreamObserver<ConsumeResponse> out;
        private final List<String> topics;
        private final Map<String, Integer> delivered = new HashMap<>(); // how many of a topic

        private Member(StreamObserver<ConsumeResponse> out, List<String> topics) {
            this.out = out;
            this.topics = topics;
        }
    }

    /** Delivers what is new to the owner of each subscription. Called with the lock held. */
    private void deliver() {
        members.forEach((subscription, all) -> {
            if (all.isEmpty()) {
                return;
            }
            Member owner = all.get(0);
            for (String topic : owner.topics) {
                PartitionMessages.Builder batch = PartitionMessages.newBuilder().setTopic(topic);
                List<io.github.messageproxy.v1.Message> messages = topics.getOrDefault(topic, List.of());
                for (int i = owner.delivered.getOrDefault(topic, 0); i < messages.size(); i++) {
                    if (!acked.getOrDefault(subscription, Set.of()).contains(messages.get(i).getId())) {
                        batch.addMessages(messages.get(i));
                    }
                }
                owner.delivered.put(topic, messages.size());
                if (batch.getMessagesCount() > 0) {
                    owner.out.onNext(ConsumeResponse.newBuilder()
                            .setBatch(MessageBatch.newBuilder().addPartitions(batch)).build());
                }
            }
        });
    }

    private ProduceResult store(io.github.messageproxy.v1.OutgoingMessage in) {
        var topic = topics.computeIfAbsent(in.getTopic(), name -> new ArrayList<>());
        var message = io.github.messageproxy.v1.Message.newBuilder()
                .setId(in.getTopic() + "/0/" + topic.size())
                .addAllHeaders(in.getHeadersList())
                .setTimestampMs(in.hasTimestampMs() ? in.getTimestampMs() : System.currentTimeMillis())
                .setDeliveryAttempt(1);
        if (in.hasKey()) {
            message.setKey(in.getKey());
        }
        if (in.hasValue()) {
            message.setValue(in.getValue());
        }
        topic.add(message.build());
        return ProduceResult.newBuilder().setSequence(in.getSequence()).setReceipt(MessageReceipt.newBuilder()
                .setMessageId(message.getId()).setTimestampMs(message.getTimestampMs())).build();
    }

    private final class Service extends MessageProxyGrpc.MessageProxyImplBase {
        @Override
        public StreamObserver<ProduceRequest> produce(StreamObserver<ProduceResponse> out) {
            return new StreamObserver<>() {
                @Override
                public void onNext(ProduceRequest request) {
                    synchronized (MemoryProxy.this) {
                        ProduceResponse.Builder response = ProduceResponse.newBuilder();
                        request.getMessagesList().forEach(message -> response.addResults(store(message)));
                        out.onNext(response.build());
                        deliver();
                        MemoryProxy.this.notifyAll();
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

        @Override
        public StreamObserver<ConsumeRequest> consume(StreamObserver<ConsumeResponse> out) {
            return new ConsumeCall(out);
        }
    }

    private final class ConsumeCall implements StreamObserver<ConsumeRequest> {
        private final StreamObserver<ConsumeResponse> out;
        private String subscription = "";
        private Member member;

        private ConsumeCall(StreamObserver<ConsumeResponse> out) {
            this.out = out;
        }

        @Override
        public void onNext(ConsumeRequest request) {
            synchronized (MemoryProxy.this) {
                switch (request.getRequestCase()) {
                    case SUBSCRIBE -> subscribe(request);
                    case ACK -> {
                        acked.computeIfAbsent(subscription, name -> new HashSet<>())
                                .addAll(request.getAck().getMessageIdsList());
                        MemoryProxy.this.notifyAll();
                    }
                    case LEAVE -> { } // its messages go to others when it has half-closed
                    case REQUEST_NOT_SET -> out.onError(Status.INVALID_ARGUMENT.asRuntimeException());
                }
            }
        }

        private void subscribe(ConsumeRequest request) {
            subscription = request.getSubscribe().getSubscription();
            member = new Member(out, request.getSubscribe().getTopicsList());
            out.onNext(ConsumeResponse.newBuilder().setSubscribed(Subscribed.newBuilder().setMaxUnackedMessages(1000)
                    .setAckTimeout(Duration.newBuilder().setSeconds(60))).build());
            Assignment.Builder assignment = Assignment.newBuilder();
            member.topics.forEach(topic -> assignment.addPartitions(TopicPartition.newBuilder().setTopic(topic)));
            out.onNext(ConsumeResponse.newBuilder().setAssignment(assignment).build());
            members.computeIfAbsent(subscription, name -> new ArrayList<>()).add(member);
            deliver();
        }

        private void gone() {
            synchronized (MemoryProxy.this) {
                members.getOrDefault(subscription, new ArrayList<>()).remove(member);
                deliver();
            }
        }

        @Override
        public void onError(Throwable thrown) {
            gone();
        }

        @Override
        public void onCompleted() {
            gone();
            out.onCompleted();
        }
    }
}
