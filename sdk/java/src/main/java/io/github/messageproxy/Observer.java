package io.github.messageproxy;

/** Hears what happens to a subscription. */
@FunctionalInterface
public interface Observer {
    /**
     * Is called with one event after another. It must not block: no message comes in meanwhile. What it throws is
     * logged.
     *
     * @param event what happened; new kinds may come, ignore those that you don't know
     */
    void onEvent(Event event);
}
