package io.github.messageproxy.examples;

import io.github.messageproxy.Client;
import io.github.messageproxy.ConsumeOptions;
import io.github.messageproxy.Consumer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Prints the messages of a topic, until it is interrupted. Takes the proxy's address, the topic and the subscription.
 */
public final class Consume {
    private Consume() {}

    /**
     * Runs it.
     *
     * @param args address (localhost:7070), topic (orders) and subscription (consume-example)
     */
    public static void main(String[] args) {
        String address = args.length > 0 ? args[0] : "localhost:7070";
        String topic = args.length > 1 ? args[1] : "orders";
        String subscription = args.length > 2 ? args[2] : "consume-example";
        try (Client client = Client.builder(address).build()) {
            Consumer consumer = start(client, topic, subscription, System.out);
            Interrupts.stopOnInterrupt(consumer);
            consumer.completion().join();
        }
    }

    static Consumer start(Client client, String topic, String subscription, PrintStream out) {
        return client.subscription(subscription, topic).consume(
                // Returning ACKs the message; an exception has it handled again.
                (message, context) -> out.printf("%s/%d %s: %s%n",
                        message.topic(), message.partition(), text(message.key()), text(message.value())),
                ConsumeOptions.builder().maxHandlers(1).build()); // one line at a time
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "" : new String(bytes, StandardCharsets.UTF_8);
    }
}
