package io.github.messageproxy;

import java.util.ArrayList;
import java.util.List;

/**
 * What a step that holds a lock wants done once the lock is free: calls of gRPC, executors and the application's code.
 */
final class Effects {
    private List<Runnable> actions = List.of();

    void add(Runnable action) {
        if (actions.isEmpty()) {
            actions = new ArrayList<>(2);
        }
        actions.add(action);
    }

    /** Runs them, in order, all of them even if one fails. Called without the lock. */
    void run(Log log) {
        for (Runnable action : actions) {
            try {
                action.run();
            } catch (Throwable e) {
                log.warning("a step of the client failed", e);
            }
        }
    }
}
