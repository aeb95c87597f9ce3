package io.github.messageproxy.conformance;

import static io.github.messageproxy.conformance.ConformanceDriver.has;
import static io.github.messageproxy.conformance.ConformanceDriver.id;
import static io.github.messageproxy.conformance.ConformanceDriver.millis;
import static io.github.messageproxy.conformance.ConformanceDriver.object;
import static io.github.messageproxy.conformance.ConformanceDriver.text;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.messageproxy.Client;
import io.github.messageproxy.ConsumeOptions;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.Event;
import io.github.messageproxy.FailureHandler;
import io.github.messageproxy.HandlerContext;
import io.github.messageproxy.Header;
import io.github.messageproxy.Message;
import io.github.messageproxy.StartPosition;
import io.github.messageproxy.TopicPartition;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.StreamSupport;

/** The commands about consume. */
final class ConsumeCommands {
    private final Output output;
    private final Map<Integer, Runnable> cancels;
    private final Map<Integer, CompletableFuture<JsonObject>> handlings = new ConcurrentHashMap<>();
    private final AtomicInteger lastHandling = new AtomicInteger();

    ConsumeCommands(Output output, Map<Integer, Runnable> cancels) {
        this.output = output;
        this.cancels = cancels;
    }

    void consume(Client client, JsonObject c) {
        int id = id(c);
        boolean auto = has(c, "auto") && c.get("auto").getAsBoolean();
        String[] topics = has(c, "topics")
                ? StreamSupport.stream(c.getAsJsonArray("topics").spliterator(), false)
                        .map(JsonElement::getAsString).toArray(String[]::new)
                : new String[0];
        ConsumeOptions options = options(id, object(c, "options"));
        Consumer consumer = client.subscription(text(c, "subscription"), topics)
                .consume((message, context) -> handle(id, auto, message, null, context), options);
        cancels.put(id, consumer::stop);
        CompletableFuture<Void> ended = consumer.completion();
        ended.whenComplete((ok, error) -> cancels.remove(id));
        output.done(id, ended, ok -> new JsonObject());
    }

    private ConsumeOptions options(int id, JsonObject in) {
        ConsumeOptions.Builder out = ConsumeOptions.builder().observer(event -> event(id, event));
        if (has(in, "max_handlers")) {
            out.maxHandlers(in.get("max_handlers").getAsInt());
        }
        if (has(in, "key_workers")) {
            out.keyWorkers(in.get("key_workers").getAsInt());
        }
        if (has(in, "attempts")) {
            JsonArray attempts = in.getAsJsonArray("attempts");
            out.attempts(attempts.get(0).getAsInt(), millis(attempts.get(1)), millis(attempts.get(2)));
        }
        if (has(in, "failure_handler")) {
            out.failureHandler(text(in, "failure_handler").equals("skip") ? FailureHandler.skip() : asking(id));
        }
        if (has(in, "max_unacked")) {
            out.maxUnacked(in.get("max_unacked").getAsLong());
        }
        if (has(in, "ack_timeout")) {
            out.ackTimeout(millis(in.get("ack_timeout")));
        }
        if (has(in, "start")) {
            out.start(switch (text(in, "start")) {
                case "earliest" -> StartPosition.EARLIEST;
                case "latest" -> StartPosition.LATEST;
                default -> null; // for the SDK to refuse
            });
        }
        if (has(in, "drain_timeout")) {
            out.drainTimeout(millis(in.get("drain_timeout")));
        }
        return out.build();
    }

    private FailureHandler asking(int consume) {
        return (message, error, context) -> {
            try {
                handle(consume, false, message, error.getMessage(), context);
            } catch (Exception | AssertionError e) {
                throw new Output.FailureHandlerFailed(e.getMessage());
            }
        };
    }

    /** Tells the suite of a handler, and does what that says. */
    private void handle(int consume, boolean auto, Message message, String failure, HandlerContext context)
            throws Exception {
        int number = lastHandling.incrementAndGet();
        CompletableFuture<JsonObject> returned = new CompletableFuture<>();
        if (!auto) {
            handlings.put(number, returned);
        }
        JsonObject line = new JsonObject();
        line.addProperty("handling", number);
        line.addProperty("consume", consume);
        line.add("message", delivered(message));
        if (failure != null) {
            line.addProperty("failure", failure);
        }
        output.write(line);
        if (auto) {
            return;
        }
        context.onCancel(() -> cancelled(number));
        JsonObject how = await(returned);
        switch (text(how, "how")) {
            case "fail" -> throw new Exception(text(how, "text"));
            case "panic" -> throw new AssertionError(text(how, "text"));
            default -> { } // a Message can't be changed
        }
    }

    private void cancelled(int handling) {
        JsonObject line = new JsonObject();
        line.addProperty("handling", handling);
        line.addProperty("cancelled", true);
        output.write(line);
    }

    /** Waits whether the thread is interrupted or not: a handler that was told to end goes on all the same. */
    private static JsonObject await(CompletableFuture<JsonObject> returned) throws ExecutionException {
        while (true) {
            try {
                return returned.get();
            } catch (InterruptedException e) {
                // The suite hears of it through onCancel.
            }
        }
    }

    void returnHandling(JsonObject c) {
        CompletableFuture<JsonObject> returned = handlings.remove(c.get("handling").getAsInt());
        if (returned == null) {
            throw new IllegalArgumentException("no such handling is waiting");
        }
        returned.complete(c);
    }

    private static JsonObject delivered(Message message) {
        JsonObject out = new JsonObject();
        out.addProperty("topic", message.topic());
        out.addProperty("partition", message.partition());
        out.add("key", base64(message.key()));
        out.add("value", base64(message.value()));
        JsonArray headers = new JsonArray();
        for (Header header : message.headers()) {
            JsonArray entry = new JsonArray();
            entry.add(header.key());
            entry.add(base64(header.value()));
            headers.add(entry);
        }
        out.add("headers", headers);
        out.addProperty("timestamp", message.timestamp().toEpochMilli());
        out.addProperty("id", message.id());
        out.addProperty("attempt", message.deliveryAttempt());
        return out;
    }

    private static JsonElement base64(byte[] bytes) {
        return bytes == null ? JsonNull.INSTANCE : new JsonPrimitive(Base64.getEncoder().encodeToString(bytes));
    }

    private void event(int consume, Event event) {
        JsonObject out = new JsonObject();
        out.addProperty("consume", consume);
        out.addProperty("kind", event.kind().name().toLowerCase(Locale.ROOT));
        JsonArray partitions = new JsonArray();
        for (TopicPartition partition : event.partitions()) {
            JsonArray entry = new JsonArray();
            entry.add(partition.topic());
            entry.add(partition.partition());
            partitions.add(entry);
        }
        out.add("partitions", partitions);
        out.addProperty("time_left", event.timeLeft().toMillis());
        out.addProperty("max_unacked", event.maxUnacked());
        out.addProperty("ack_timeout", event.ackTimeout().toMillis());
        if (event.error() != null) {
            out.add("error", Output.describe(event.error()));
        }
        JsonObject line = new JsonObject();
        line.add("event", out);
        output.write(line);
    }
}
