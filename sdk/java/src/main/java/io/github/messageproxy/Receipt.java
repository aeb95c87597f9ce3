package io.github.messageproxy;

import java.time.Instant;

/**
 * Says where a produced message is stored.
 *
 * @param messageId the ID that consumers will see; empty where the broker doesn't tell
 * @param partition where the message went
 * @param timestamp the stored timestamp, to the millisecond
 */
public record Receipt(String messageId, int partition, Instant timestamp) {}
