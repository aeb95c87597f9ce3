package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.messageproxy.v1.AckRequest;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class AcksTest {
    @Test
    void allAreTakenInOrderByFramesThatAreNotTooLarge() {
        Acks acks = new Acks();
        List<String> ids = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            ids.add(i + "x".repeat(500));
            acks.add(ids.get(i));
        }
        List<String> taken = new ArrayList<>();
        for (AckRequest frame = acks.take(); frame != null; frame = acks.take()) {
            assertTrue(frame.getSerializedSize() < 2 * Acks.MAX_FRAME_CHARS);
            taken.addAll(frame.getMessageIdsList());
        }
        assertEquals(ids, taken);
    }

    @Test
    void anEmptyIdIsTakenToo() {
        Acks acks = new Acks();
        acks.add("");
        assertEquals(List.of(""), acks.take().getMessageIdsList());
        assertNull(acks.take());
    }
}
