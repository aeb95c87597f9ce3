package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class ThreadsTest {
    @Test
    void whatIsToBeDoneIsDoneEvenIfNoThreadCanBeMade() throws Exception {
        Threads threads = new Threads(task -> {
            throw new OutOfMemoryError("unable to create native thread");
        });
        CompletableFuture<Thread> now = new CompletableFuture<>();
        threads.execute(() -> now.complete(Thread.currentThread()));
        assertSame(Thread.currentThread(), now.getNow(null));
        CompletableFuture<Thread> later = new CompletableFuture<>();
        threads.after(1, () -> later.complete(Thread.currentThread()));
        Thread timer = later.get(ScriptedProxy.PATIENCE_SECONDS, TimeUnit.SECONDS);
        assertTrue(timer.getName().startsWith("messageproxy-timer-"), timer.getName());
    }
}
