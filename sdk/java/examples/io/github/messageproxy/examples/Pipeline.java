package io.github.messageproxy.examples;

import io.github.messageproxy.Client;
import io.github.messageproxy.ConsumeOptions;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.Message;
import io.github.messageproxy.OutgoingMessage;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * Produces an invoice from each order. An order is ACKed only when its invoice is stored, so none is lost; after a
 * failure one may be made twice. Takes the proxy's address.
 */
public final class Pipeline {
    private Pipeline() {}

    /**
     * Runs it.
     *
     * @param args address (localhost:7070)
     */
    public static void main(String[] args) {
        try (Client client = Client.builder(args.length > 0 ? args[0] : "localhost:7070").build()) {
            Consumer consumer = start(client);
            Interrupts.stopOnInterrupt(consumer);
            consumer.completion().join();
        }
    }

    static Consumer start(Client client) {
        // The orders of different customers are handled at the same time, so that their invoices travel together.
        return client.subscription("pipeline-example", "orders").consume(
                (order, context) -> client.produce(invoice(order)).get(),
                ConsumeOptions.builder().keyWorkers(64).build());
    }

    private static OutgoingMessage invoice(Message order) {
        String text = "invoice for " + new String(order.value(), StandardCharsets.UTF_8).toUpperCase(Locale.ROOT);
        return OutgoingMessage.builder("invoices")
                .key(order.key()) // a customer's invoices keep the order of the orders
                .value(text.getBytes(StandardCharsets.UTF_8))
                .header("order", order.id().getBytes(StandardCharsets.UTF_8)) // tells duplicates
                .build();
    }
}
