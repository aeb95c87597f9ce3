package io.github.messageproxy;

/**
 * The client is closed: the error of calls on a closed {@link Client}, and of those that {@link Client#close()} ended.
 * A message whose future completes with it was never sent.
 */
public final class ClosedException extends IllegalStateException {
    private static final long serialVersionUID = 1;

    /** Makes the error. */
    public ClosedException() {
        super("the client is closed");
    }
}
