package io.github.messageproxy;

/**
 * A partition of a topic.
 *
 * @param topic the topic
 * @param partition the partition's number
 */
public record TopicPartition(String topic, int partition) {
    /** Names it as topic/partition. */
    @Override
    public String toString() {
        return topic + "/" + partition;
    }
}
