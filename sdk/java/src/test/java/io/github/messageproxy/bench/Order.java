package io.github.messageproxy.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLongArray;

/**
 * The handler of all consumers: counts messages, and checks that each partition's come in order and without gaps.
 * Values begin with the message's place in its partition.
 */
final class Order {
    private final AtomicLongArray next; // by partition
    private final int valueBytes;
    private final Meter meter;

    Order(int partitions, int valueBytes, Meter meter) {
        this.next = new AtomicLongArray(partitions);
        this.valueBytes = valueBytes;
        this.meter = meter;
    }

    void handle(int partition, byte[] value) {
        if (value.length != valueBytes) {
            throw new IllegalStateException("a value has " + value.length + " bytes, not " + valueBytes);
        }
        long place = ByteBuffer.wrap(value).getLong();
        long expected = next.get(partition);
        if (place > expected) {
            throw new IllegalStateException(
                    "message " + place + " of partition " + partition + " came where " + expected + " was next");
        }
        if (place == expected) { // else it was delivered again, and isn't counted again
            next.set(partition, expected + 1);
            meter.done();
        }
    }
}
