package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OptionsTest {
    private static void refused(String option, Executable call) {
        MessageProxyException error = assertThrows(MessageProxyException.class, call);
        assertEquals(Code.INVALID_ARGUMENT, error.code());
        assertTrue(error.getMessage().contains(option), error.getMessage());
    }

    @Test
    void optionsOfAClientThatAreOutOfRange() {
        Client.Builder builder = Client.builder("localhost:7070");
        refused("clientName", () -> builder.clientName("x".repeat(513)));
        refused("clientName", () -> builder.clientName("\ud800"));
        refused("clientName", () -> builder.clientName(null));
        refused("reconnectBackoff", () -> builder.reconnectBackoff(Duration.ZERO, Duration.ofSeconds(1)));
        refused("reconnectBackoff", () -> builder.reconnectBackoff(Duration.ofSeconds(2), Duration.ofSeconds(1)));
        refused("maxOutstanding", () -> builder.maxOutstanding(0, 1));
        refused("maxOutstanding", () -> builder.maxOutstanding(1, 0));
        refused("maxMessageBytes", () -> builder.maxMessageBytes(0));
        refused("maxMessageBytes", () -> builder.maxMessageBytes((1 << 30) + 1));
        refused("logger", () -> builder.logger(null));
        refused("tls", () -> builder.tls(null));
        refused("configureChannel", () -> builder.configureChannel(null));
        builder.clientName("\ud83d\ude00".repeat(128)).maxOutstanding(1, 1).maxMessageBytes(1 << 30)
                .reconnectBackoff(Duration.ofNanos(1), Duration.ofNanos(1)).build().close();
    }

    @Test
    void optionsOfConsumeThatAreOutOfRange() {
        ConsumeOptions.Builder builder = ConsumeOptions.builder();
        refused("maxHandlers", () -> builder.maxHandlers(-1));
        refused("keyWorkers", () -> builder.keyWorkers(-1));
        refused("attempts", () -> builder.attempts(0, Duration.ZERO, Duration.ZERO));
        refused("attempts", () -> builder.attempts(1, Duration.ofMillis(-1), Duration.ZERO));
        refused("attempts", () -> builder.attempts(1, Duration.ofMillis(1), Duration.ZERO));
        refused("maxUnacked", () -> builder.maxUnacked(-1));
        refused("maxUnacked", () -> builder.maxUnacked(1L << 31));
        refused("ackTimeout", () -> builder.ackTimeout(Duration.ofMillis(-1)));
        refused("start", () -> builder.start(null));
        refused("drainTimeout", () -> builder.drainTimeout(Duration.ofMillis(-1)));
        refused("observer", () -> builder.observer(null));
        assertDoesNotThrow(() -> builder.keyWorkers(Integer.MAX_VALUE).maxUnacked(Integer.MAX_VALUE)
                .ackTimeout(Duration.ofSeconds(Long.MAX_VALUE))
                .drainTimeout(Duration.ofSeconds(Long.MAX_VALUE)).build());
    }

    @Test
    void argumentsOfConsumeThatAreNotValid() {
        try (Client client = Client.builder("localhost:1").build()) {
            refused("handler", () -> client.subscription("s", "t").consume(null));
            refused("options", () -> client.subscription("s", "t").consume((message, context) -> { }, null));
            refused("subscription", () -> client.subscription("\ud800", "t").consume((message, context) -> { }));
            refused("subscription", () -> client.subscription("s", (String[]) null));
            refused("topic", () -> client.subscription("s", (String) null).consume((message, context) -> { }));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:http", ":7070",
        "http://localhost:7070", "HTTPS://localhost:7070", "::1:7070", "[]:7070", "[::1]", "local host:1", "a/b:1",
        "user@localhost:1", "dns:localhost", "dns:localhost:99999", "dns:///localhost", "dns:///localhost:99999",
        "dns:///:7070", "dns://127.0.0.1:53/localhost", "DNS:///localhost"})
    void targetsThatCanNeverWork(String target) {
        refused("target", () -> Client.builder(target));
    }

    @ParameterizedTest
    @ValueSource(strings = {"localhost:7070", "127.0.0.1:1", "[::1]:65535", "dns:///proxies.example.com:7070"})
    void targetsThatMayWork(String target) {
        Client.builder(target).build().close();
    }
}
