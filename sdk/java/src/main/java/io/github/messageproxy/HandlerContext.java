package io.github.messageproxy;

/** Tells one call of a handler when to end. Its thread is interrupted at the same time. */
public interface HandlerContext {
    /**
     * Whether the handler was told to end: the stream was lost, the partition went elsewhere, or the drain timeout is
     * over.
     *
     * @return whether it was
     */
    boolean isCancelled();

    /**
     * Has an action run when the handler is told to end; at once, on this thread, if it was already. The action runs on
     * a thread of the client, unless the handler has returned before. It must not block.
     *
     * @param action what to run
     */
    void onCancel(Runnable action);
}
