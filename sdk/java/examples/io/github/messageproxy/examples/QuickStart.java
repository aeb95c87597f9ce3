package io.github.messageproxy.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.messageproxy.Client;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.OutgoingMessage;
import io.github.messageproxy.Receipt;

/** The quick start of the README. */
final class QuickStart {
    private QuickStart() {}

    static void run(String address, Bills bills) {
        // begin
        try (Client client = Client.builder(address).build()) { // "localhost:7070"
            OutgoingMessage order = OutgoingMessage.builder("orders")
                    .key("ada".getBytes(UTF_8)).value("a cup".getBytes(UTF_8)).build();
            Receipt receipt = client.produce(order).join();
            System.out.println("stored as " + receipt.messageId());

            Consumer consumer = client.subscription("billing", "orders")
                    .consume((message, context) -> bills.bill(message.value())); // returning ACKs the message
            bills.awaitFirst();
            consumer.close(); // stops in good order
        }
        // end
    }

    /** What the application does. */
    interface Bills {
        void bill(byte[] order);

        void awaitFirst();
    }
}
