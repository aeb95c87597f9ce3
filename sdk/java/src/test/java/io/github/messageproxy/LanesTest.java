package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import com.google.protobuf.ByteString;
import java.util.List;
import org.junit.jupiter.api.Test;

class LanesTest {
    private static final TopicPartition FROM = new TopicPartition("orders", 0);

    private static List<Lanes.Task> task(String id, String key) {
        var wire = io.github.messageproxy.v1.Message.newBuilder().setId(id);
        if (key != null) {
            wire.setKey(ByteString.copyFromUtf8(key));
        }
        return List.of(new Lanes.Task(null, new Message(FROM, wire.build())));
    }

    @Test
    void aLaneThatHasNothingToDoIsForgotten() {
        Lanes lanes = new Lanes(0, Integer.MAX_VALUE);
        for (int i = 0; i < 100; i++) {
            assertEquals(1, lanes.push(FROM, task("m", i % 2 == 0 ? null : "key " + i)));
            lanes.release(lanes.begin().lane);
            assertNull(lanes.begin());
            assertEquals(0, lanes.size());
        }
        assertEquals(0, lanes.running());
    }

    @Test
    void aPurgedLaneIsForgotten() {
        Lanes lanes = new Lanes(0, 0);
        lanes.push(FROM, task("m", null));
        lanes.purge(task -> true);
        assertNull(lanes.begin());
        assertEquals(0, lanes.size());
        assertEquals(1, lanes.push(FROM, task("n", null)));
        assertEquals("n", lanes.begin().task.message().id());
    }

    @Test
    void whatHasNoKeyDoesNotWaitWhereAWorkerIsFree() {
        Lanes lanes = new Lanes(0, 3);
        lanes.push(FROM, task("slow", null));
        lanes.begin();
        for (int i = 0; i < 10; i++) {
            assertEquals(1, lanes.push(FROM, task("fast", null)));
            lanes.release(lanes.begin().lane);
            lanes.begin();
        }
        assertEquals(1, lanes.push(FROM, task("second", null)));
        assertEquals(1, lanes.push(FROM, task("third", null)));
        assertEquals(0, lanes.push(FROM, task("waits", null)));
    }

    @Test
    void equalKeysShareALane() {
        Lanes lanes = new Lanes(0, 100);
        assertEquals(1, lanes.push(FROM, task("1", "ada")));
        Handling first = lanes.begin();
        assertEquals(0, lanes.push(FROM, task("2", "ada")));
        lanes.release(first.lane);
        assertEquals("2", lanes.begin().task.message().id());
    }
}
