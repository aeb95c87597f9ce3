package io.github.messageproxy.bench;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.github.messageproxy.Client;
import io.github.messageproxy.ConsumeOptions;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.OutgoingMessage;
import java.time.Duration;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

/**
 * Puts a load on a proxy, by the SDK or by the generated stubs, so that the benchmark can compare them. What it is
 * given and writes is described in {@code tools/bench/LOAD.md}.
 */
public final class LoadClient {
    /** The program's argument. */
    record Spec(String kind, String target, String topic, String subscription, int partitions, int valueBytes,
            long warmup, long messages, int outstanding, int frame) {}

    private final Spec spec;
    private final Meter meter;

    private LoadClient(Spec spec) {
        this.spec = spec;
        this.meter = new Meter(spec.warmup(), spec.messages());
    }

    /**
     * Runs a load, and exits with 1 if anything went wrong.
     *
     * @param args the specification in JSON
     */
    public static void main(String[] args) {
        Gson gson = new GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).create();
        LoadClient load = new LoadClient(gson.fromJson(args[0], Spec.class));
        try {
            load.run();
            System.out.println(gson.toJson(load.meter.result()));
        } catch (Exception e) {
            System.err.println(load.spec.kind() + " failed after " + load.meter.total() + " messages");
            e.printStackTrace();
            System.exit(1);
        }
    }

    private void run() throws Exception {
        switch (spec.kind()) {
            case "sdk produce" -> sdkProduce();
            case "sdk consume" -> sdkConsume();
            case "stream produce" -> streamProduce();
            case "stream consume" -> streamConsume();
            default -> throw new IllegalArgumentException("there is no such load");
        }
    }

    private void sdkProduce() throws Exception {
        try (Client client = Client.builder(spec.target()).build()) {
            produce(value -> client.produce(OutgoingMessage.builder(spec.topic()).value(value).build()));
        }
    }

    private void streamProduce() throws Exception {
        try (StreamProducer producer = new StreamProducer(spec.target(), spec.frame())) {
            produce(value -> producer.produce(spec.topic(), value));
        }
    }

    /** Has so many callers that each produce a message, await its receipt, and produce the next. */
    private void produce(Function<byte[], CompletableFuture<?>> producer) throws Exception {
        AtomicLong left = new AtomicLong(spec.warmup() + spec.messages());
        byte[] value = new byte[spec.valueBytes()];
        new Random(1).nextBytes(value);
        for (int i = 0; i < spec.outstanding(); i++) {
            produceNext(producer, value, left);
        }
        meter.awaitEnd();
    }

    private void produceNext(Function<byte[], CompletableFuture<?>> producer, byte[] value, AtomicLong left) {
        if (left.getAndDecrement() <= 0) {
            return;
        }
        producer.apply(value).whenComplete((receipt, error) -> {
            if (error != null) {
                meter.fail(error);
                return;
            }
            meter.done();
            produceNext(producer, value, left);
        });
    }

    private void sdkConsume() throws Exception {
        Order order = new Order(spec.partitions(), spec.valueBytes(), meter);
        ConsumeOptions once = ConsumeOptions.builder().attempts(1, Duration.ZERO, Duration.ZERO).build();
        try (Client client = Client.builder(spec.target()).build();
                Consumer consumer = client.subscription(spec.subscription(), spec.topic())
                        .consume((message, context) -> order.handle(message.partition(), message.value()), once)) {
            consumer.completion().whenComplete((ok, error) -> meter.consumerEnded(error));
            meter.awaitEnd();
        }
    }

    private void streamConsume() throws Exception {
        Order order = new Order(spec.partitions(), spec.valueBytes(), meter);
        try (StreamConsumer consumer = new StreamConsumer(spec.target(), spec.subscription(), spec.topic(),
                (partition, message) -> order.handle(partition, message.getValue().toByteArray()))) {
            consumer.completion().whenComplete((ok, error) -> meter.consumerEnded(error));
            meter.awaitEnd();
        }
    }
}
