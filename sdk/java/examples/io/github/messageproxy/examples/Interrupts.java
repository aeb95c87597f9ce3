package io.github.messageproxy.examples;

import io.github.messageproxy.Consumer;
import java.util.concurrent.CompletionException;

/** Stops consumers in good order when the program is interrupted. */
final class Interrupts {
    private Interrupts() {}

    /** Has Ctrl-C stop a consumer, and the program wait until that has ended. */
    static void stopOnInterrupt(Consumer consumer) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                consumer.stop().join();
            } catch (CompletionException e) {
                // main tells.
            }
        }));
    }
}
