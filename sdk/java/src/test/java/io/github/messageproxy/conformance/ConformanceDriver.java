package io.github.messageproxy.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.messageproxy.Client;
import io.github.messageproxy.Header;
import io.github.messageproxy.OutgoingMessage;
import io.github.messageproxy.Receipt;
import io.grpc.TlsChannelCredentials;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The driver of the Java SDK for the conformance suite: sdk/conformance/DRIVER.md says what it reads and writes. It
 * uses the public API alone.
 */
public final class ConformanceDriver {
    private final Output output;
    private final Map<String, Client> clients = new ConcurrentHashMap<>();
    private final Map<Integer, Runnable> cancels = new ConcurrentHashMap<>();
    private final ConsumeCommands consumes;

    private ConformanceDriver(OutputStream out) {
        output = new Output(out);
        consumes = new ConsumeCommands(output, cancels);
    }

    /**
     * Does what the lines of the standard input say, until that ends.
     *
     * @param args none
     * @throws IOException if the standard input can't be read
     */
    public static void main(String[] args) throws IOException {
        new ConformanceDriver(System.out).run(System.in);
        System.exit(0); // whatever is under way
    }

    private void run(InputStream in) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8), 1 << 20);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject command = JsonParser.parseString(line).getAsJsonObject();
            try {
                take(command);
            } catch (RuntimeException e) {
                output.failed(id(command), e);
            }
        }
    }

    private void take(JsonObject c) throws IOException {
        int id = id(c);
        switch (c.get("op").getAsString()) {
            case "open" -> {
                clients.put(c.get("client").getAsString(), open(c));
                output.ok(id);
            }
            case "produce" -> produce(c);
            case "flush" -> output.done(id, client(c).flush(), ok -> new JsonObject());
            case "close" -> output.done(id, CompletableFuture.runAsync(client(c)::close), ok -> new JsonObject());
            case "cancel" -> {
                Runnable cancel = cancels.get(c.get("call").getAsInt());
                if (cancel != null) { // else it has ended
                    cancel.run();
                }
                output.ok(id);
            }
            case "consume" -> consumes.consume(client(c), c);
            case "return" -> {
                consumes.returnHandling(c);
                output.ok(id);
            }
            case "ping" -> output.ok(id);
            case "memory" -> memory(id);
            default -> output.unsupported(id, "the command is not known");
        }
    }

    static int id(JsonObject c) {
        return c.get("id").getAsInt();
    }

    private Client client(JsonObject c) {
        return clients.get(c.get("client").getAsString());
    }

    private Client open(JsonObject c) throws IOException {
        Client.Builder builder = Client.builder(text(c, "target"));
        JsonObject options = object(c, "options");
        if (has(options, "client_name")) {
            builder.clientName(text(options, "client_name"));
        }
        if (has(options, "reconnect_backoff")) {
            var backoff = options.getAsJsonArray("reconnect_backoff");
            builder.reconnectBackoff(millis(backoff.get(0)), millis(backoff.get(1)));
        }
        if (has(options, "max_outstanding")) {
            var most = options.getAsJsonArray("max_outstanding");
            builder.maxOutstanding(most.get(0).getAsInt(), most.get(1).getAsLong());
        }
        if (has(options, "max_message_bytes")) {
            builder.maxMessageBytes(options.get("max_message_bytes").getAsLong());
        }
        if (has(options, "log") && options.get("log").getAsBoolean()) {
            builder.logger(new OutputLogger(output));
        }
        if (has(options, "tls")) {
            JsonObject tls = object(options, "tls");
            if (has(tls, "roots")) {
                byte[] roots = text(tls, "roots").getBytes(StandardCharsets.UTF_8);
                builder.tls(TlsChannelCredentials.newBuilder().trustManager(new ByteArrayInputStream(roots)).build());
            } else {
                builder.tls();
            }
        }
        return builder.build();
    }

    private void produce(JsonObject c) {
        int id = id(c);
        if (has(c, "text") && c.get("text").getAsBoolean()) {
            output.unsupported(id, "a value is a byte[]: the compiler refuses a String");
            return;
        }
        JsonObject in = c.getAsJsonObject("message");
        byte[] key = bytes(in.get("key"));
        byte[] value = bytes(in.get("value"));
        OutgoingMessage.Builder message = OutgoingMessage.builder(text(in, "topic")).key(key).value(value);
        if (has(in, "headers")) {
            for (JsonElement header : in.getAsJsonArray("headers")) {
                var entry = header.getAsJsonArray();
                message.header(new Header(entry.get(0).getAsString(), bytes(entry.get(1))));
            }
        }
        if (has(in, "partition")) {
            message.partition(in.get("partition").getAsInt());
        }
        if (has(in, "timestamp")) {
            message.timestamp(Instant.ofEpochMilli(in.get("timestamp").getAsLong()));
        }
        CompletableFuture<Receipt> receipt = client(c).produce(message.build());
        if (has(c, "change") && c.get("change").getAsBoolean()) {
            spoil(key);
            spoil(value);
        }
        cancels.put(id, () -> receipt.cancel(true));
        receipt.whenComplete((ok, error) -> cancels.remove(id));
        output.done(id, receipt, ok -> {
            JsonObject out = new JsonObject();
            out.addProperty("message_id", ok.messageId());
            out.addProperty("partition", ok.partition());
            out.addProperty("timestamp", ok.timestamp().toEpochMilli());
            return out;
        });
    }

    private void memory(int id) {
        System.gc();
        JsonObject out = new JsonObject();
        out.addProperty("bytes", Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory());
        output.ok(id, out);
    }

    private static void spoil(byte[] bytes) {
        for (int i = 0; bytes != null && i < bytes.length; i++) {
            bytes[i] ^= (byte) 0xff;
        }
    }

    static boolean has(JsonObject in, String field) {
        return in.has(field) && !in.get(field).isJsonNull();
    }

    static String text(JsonObject in, String field) {
        return has(in, field) ? in.get(field).getAsString() : "";
    }

    static JsonObject object(JsonObject in, String field) {
        return has(in, field) ? in.getAsJsonObject(field) : new JsonObject();
    }

    static byte[] bytes(JsonElement in) {
        return in == null || in.isJsonNull() ? null : Base64.getDecoder().decode(in.getAsString());
    }

    static Duration millis(JsonElement in) {
        return Duration.ofMillis(in.getAsLong());
    }
}
