package io.github.messageproxy.examples;

import io.github.messageproxy.Client;
import io.github.messageproxy.OutgoingMessage;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/** Makes a message of each line of the standard input. Takes the proxy's address and the topic. */
public final class Produce {
    private Produce() {}

    /**
     * Runs it.
     *
     * @param args address (localhost:7070) and topic (orders)
     * @throws Exception if a message could not be stored
     */
    public static void main(String[] args) throws Exception {
        String address = args.length > 0 ? args[0] : "localhost:7070";
        String topic = args.length > 1 ? args[1] : "orders";
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        System.out.println(run(address, topic, lines) + " messages stored");
    }

    /** Produces the lines, up to the first failure, and returns how many are stored. */
    static long run(String address, String topic, BufferedReader lines) throws IOException, InterruptedException {
        AtomicLong stored = new AtomicLong();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (Client client = Client.builder(address).build()) {
            for (String line = lines.readLine(); line != null && failure.get() == null; line = lines.readLine()) {
                client.awaitRoom(); // holds the loop to the speed of the proxy
                client.produce(OutgoingMessage.builder(topic).value(line.getBytes(StandardCharsets.UTF_8)).build())
                        .whenComplete((receipt, error) -> {
                            if (error == null) {
                                stored.incrementAndGet();
                            } else {
                                failure.compareAndSet(null, error);
                            }
                        });
            }
            client.flush().join();
        }
        if (failure.get() != null) {
            throw new CompletionException(stored + " messages are stored, one is not", failure.get());
        }
        return stored.get();
    }
}
