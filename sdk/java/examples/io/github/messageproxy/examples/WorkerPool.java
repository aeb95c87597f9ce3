package io.github.messageproxy.examples;

import io.github.messageproxy.Client;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.Message;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Has several workers share a subscription. When one dies, the others get its partitions. Run it several times at once:
 * the processes share too. Takes the proxy's address and the number of workers.
 */
public final class WorkerPool {
    private WorkerPool() {}

    /** What a worker does with a message. */
    interface Work {
        void work(int worker, Message message) throws Exception;
    }

    /**
     * Runs it.
     *
     * @param args address (localhost:7070) and number of workers (3)
     */
    public static void main(String[] args) {
        int workers = args.length > 1 ? Integer.parseInt(args[1]) : 3;
        try (Client client = Client.builder(args.length > 0 ? args[0] : "localhost:7070").build()) {
            List<Consumer> pool = start(client, workers, (worker, message) -> System.out.printf("worker %d: %s/%d %s%n",
                    worker, message.topic(), message.partition(), new String(message.value(), StandardCharsets.UTF_8)));
            pool.forEach(Interrupts::stopOnInterrupt);
            CompletableFuture.allOf(pool.stream().map(Consumer::completion).toArray(CompletableFuture<?>[]::new))
                    .join();
        }
    }

    static List<Consumer> start(Client client, int workers, Work work) {
        List<Consumer> pool = new ArrayList<>();
        for (int i = 0; i < workers; i++) {
            int worker = i;
            Consumer consumer = client.subscription("workerpool-example", "orders")
                    .consume((message, context) -> work.work(worker, message));
            consumer.completion().whenComplete((ended, error) -> {
                if (error != null) {
                    System.err.println("worker " + worker + ": " + error.getMessage() + "; the others take over");
                }
            });
            pool.add(consumer);
        }
        return pool;
    }
}
