package io.github.messageproxy;

import io.github.messageproxy.v1.AckRequest;
import java.util.ArrayDeque;
import java.util.Queue;

/**
 * ACKs that gather until they are sent. Its monitor guards it, and is held for no longer than one ID takes: so handlers
 * that succeed hardly wait for each other, and not for the consumer's lock.
 */
final class Acks {
    /** The most that a frame takes, roughly. */
    static final int MAX_FRAME_CHARS = 64 << 10;

    private final Queue<AckRequest> full = new ArrayDeque<>();
    private AckRequest.Builder gathering = AckRequest.newBuilder();
    private int chars; // that have gathered

    synchronized void add(String id) {
        gathering.addMessageIds(id);
        chars += id.length();
        if (chars >= MAX_FRAME_CHARS) {
            full.add(takeGathered());
        }
    }

    /** The next frame; null if there are no ACKs. */
    synchronized AckRequest take() {
        if (!full.isEmpty()) {
            return full.poll();
        }
        return gathering.getMessageIdsCount() == 0 ? null : takeGathered();
    }

    private AckRequest takeGathered() {
        AckRequest frame = gathering.build();
        gathering = AckRequest.newBuilder();
        chars = 0;
        return frame;
    }
}
