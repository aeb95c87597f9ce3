package io.github.messageproxy;

/** Where a subscription begins in partitions in which it has no position yet. */
public enum StartPosition {
    /** At the oldest message. */
    EARLIEST,
    /** With what comes after the subscription was first used. */
    LATEST
}
