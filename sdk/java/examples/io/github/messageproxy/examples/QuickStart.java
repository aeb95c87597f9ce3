package io.github.messageproxy.examples;

// From begin to end this is the quick start of the README.
// begin
import static java.nio.charset.StandardCharsets.UTF_8;

import io.github.messageproxy.Client;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.OutgoingMessage;
import io.github.messageproxy.Receipt;
import java.util.concurrent.CountDownLatch;

public class QuickStart {
    public static void main(String[] args) throws InterruptedException {
        String address = args.length > 0 ? args[0] : "localhost:7070";
        try (Client client = Client.builder(address).build()) {
            OutgoingMessage order = OutgoingMessage.builder("orders")
                    .key("ada".getBytes(UTF_8)).value("a cup".getBytes(UTF_8)).build();
            Receipt receipt = client.produce(order).join();
            System.out.println("stored as " + receipt.messageId());

            CountDownLatch billed = new CountDownLatch(1);
            Consumer consumer = client.subscription("billing", "orders").consume((message, context) -> {
                System.out.println("bill " + new String(message.value(), UTF_8));
                billed.countDown();
            }); // returning ACKs the message
            billed.await();
            consumer.close(); // stops in good order
        }
    }
}
// end
