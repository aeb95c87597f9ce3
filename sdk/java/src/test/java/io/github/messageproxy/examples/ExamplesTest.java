package io.github.messageproxy.examples;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.messageproxy.Client;
import io.github.messageproxy.Consumer;
import io.github.messageproxy.MemoryProxy;
import io.github.messageproxy.OutgoingMessage;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ExamplesTest {
    private MemoryProxy proxy;
    private Client client;

    @BeforeEach
    void start() throws Exception {
        proxy = new MemoryProxy();
        client = Client.builder(proxy.target()).build();
    }

    @AfterEach
    void stop() throws Exception {
        client.close();
        proxy.close();
    }

    private void produce(int count) {
        CompletableFuture.allOf(IntStream.range(0, count)
                .mapToObj(i -> client.produce(OutgoingMessage.builder("orders")
                        .key(("customer " + i % 20).getBytes(UTF_8))
                        .value(("cup " + i).getBytes(UTF_8)).build()))
                .toArray(CompletableFuture<?>[]::new)).join();
    }

    @Test
    void theQuickStartDoesWhatItSays() throws Exception {
        QuickStart.main(new String[] {proxy.target()});
        assertEquals("a cup", proxy.messages("orders").get(0).getValue().toStringUtf8());
        proxy.awaitAcked("billing", 1);
    }

    @Test
    void theReadmeHasTheQuickStartThatThisTests() throws Exception {
        List<String> source = Files.readAllLines(
                Path.of("examples/io/github/messageproxy/examples/QuickStart.java"));
        String code = String.join("\n", source.subList(source.indexOf("// begin") + 1, source.indexOf("// end")));
        String readme = Files.readString(Path.of("README.md"));
        assertTrue(readme.contains(code), "README.md hasn't this code:\n" + code);
    }

    @Test
    void produceStoresEachLine() throws Exception {
        BufferedReader lines = new BufferedReader(new StringReader("one\ntwo\nthree\n"));
        assertEquals(3, Produce.run(proxy.target(), "orders", lines));
        assertEquals(List.of("one", "two", "three"),
                proxy.messages("orders").stream().map(message -> message.getValue().toStringUtf8()).toList());
        assertThrows(CompletionException.class,
                () -> Produce.run(proxy.target(), "", new BufferedReader(new StringReader("one\n"))));
    }

    @Test
    void consumePrintsEachMessage() throws Exception {
        produce(2);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (Consumer consumer = Consume.start(client, "orders", "billing", new PrintStream(out, true, UTF_8))) {
            proxy.awaitAcked("billing", 2);
            consumer.stop().get();
        }
        assertEquals(List.of("orders/0 customer 0: cup 0", "orders/0 customer 1: cup 1"),
                out.toString(UTF_8).lines().toList());
    }

    @Test
    void pipelineMakesAnInvoiceOfEachOrder() throws Exception {
        Consumer pipeline = Pipeline.start(client);
        produce(300);
        proxy.awaitAcked("pipeline-example", 300);
        pipeline.close();
        assertEquals(300, proxy.messages("invoices").stream()
                .map(invoice -> invoice.getHeaders(0).getValue().toStringUtf8()).distinct().count());
        assertTrue(proxy.messages("invoices").get(0).getValue().toStringUtf8().startsWith("invoice for CUP "));
    }

    @Test
    void workerPoolSurvivesTheDeathOfAWorker() throws Exception {
        produce(10);
        CompletableFuture<Integer> dead = new CompletableFuture<>();
        List<Consumer> pool = WorkerPool.start(client, 3, (worker, message) -> {
            if (dead.complete(worker) || dead.join() == worker) {
                throw new IllegalStateException("dies");
            }
        });
        proxy.awaitAcked("workerpool-example", 10);
        int failures = 0;
        for (Consumer worker : pool) {
            try {
                worker.stop().get();
            } catch (ExecutionException e) {
                failures++;
            }
        }
        assertEquals(1, failures);
    }
}
