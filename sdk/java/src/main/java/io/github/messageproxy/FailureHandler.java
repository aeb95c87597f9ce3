package io.github.messageproxy;

/** Decides what becomes of a message with which the handler failed for good. */
@FunctionalInterface
public interface FailureHandler {
    /**
     * Puts the message aside somewhere, for example. When it returns, the message is ACKed and the partition goes on;
     * when it throws, the consumer stops and ends with what was thrown.
     *
     * @param message the message
     * @param error what the handler threw last
     * @param context tells when to end, as it does a {@link Handler}
     * @throws Exception to stop the consumer; errors count as well
     */
    void handle(Message message, Throwable error, HandlerContext context) throws Exception;

    /**
     * The failure handler that ACKs the message, as if it had been handled. The error is logged; nothing else remains
     * of the message.
     *
     * @return that failure handler
     */
    static FailureHandler skip() {
        return (message, error, context) -> {};
    }
}
