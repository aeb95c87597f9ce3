package io.github.messageproxy;

/** Handles the messages of a subscription. */
@FunctionalInterface
public interface Handler {
    /**
     * Handles a message. When it returns, the message is ACKed; when it throws, it is called again, see {@link
     * ConsumeOptions.Builder#attempts}. It may be called by several threads at once: see {@link Subscription#consume}.
     *
     * <p>A handler that is told to end, because its message isn't this client's any more, is interrupted; {@code
     * context} tells it too. It should return or throw soon: what it does counts for nothing, and its successor in
     * order waits.
     *
     * @param message the message
     * @param context tells when to end
     * @throws Exception when the message isn't handled; errors count as well
     */
    void handle(Message message, HandlerContext context) throws Exception;
}
