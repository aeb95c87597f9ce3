package io.github.messageproxy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

    /** Queues messages, and tells whether that starts a runner, which then begins. */
    private static boolean startsRunner(Lanes lanes, List<Lanes.Task> tasks) {
        lanes.push(FROM, tasks);
        boolean starts = lanes.startsRunner();
        lanes.runnerBegan();
        return starts;
    }

    @Test
    void aLaneThatHasNothingToDoIsForgotten() {
        Lanes lanes = new Lanes(0, Integer.MAX_VALUE, false);
        for (int i = 0; i < 100; i++) {
            assertTrue(startsRunner(lanes, task("m", i % 2 == 0 ? null : "key " + i)));
            lanes.release(lanes.begin().lane);
            assertNull(lanes.begin());
            assertEquals(0, lanes.size());
        }
        assertEquals(0, lanes.running());
    }

    @Test
    void aPurgedLaneIsForgotten() {
        Lanes lanes = new Lanes(0, 0, false);
        lanes.push(FROM, task("m", null));
        lanes.purge(task -> true);
        assertNull(lanes.begin());
        assertEquals(0, lanes.size());
        assertTrue(startsRunner(lanes, task("n", null)));
        assertEquals("n", lanes.begin().task.message().id());
    }

    @Test
    void whatHasNoKeyDoesNotWaitWhereAWorkerIsFree() {
        Lanes lanes = new Lanes(0, 3, false);
        lanes.push(FROM, task("slow", null));
        lanes.begin();
        for (int i = 0; i < 10; i++) {
            assertTrue(startsRunner(lanes, task("fast", null)));
            lanes.release(lanes.begin().lane);
            lanes.begin();
        }
        for (String id : List.of("second", "third")) {
            assertTrue(startsRunner(lanes, task(id, null)));
            assertEquals(id, lanes.begin().task.message().id());
        }
        assertFalse(startsRunner(lanes, task("waits", null)));
    }

    @Test
    void equalKeysShareALane() {
        Lanes lanes = new Lanes(0, 100, false);
        assertTrue(startsRunner(lanes, task("1", "ada")));
        Handling first = lanes.begin();
        assertFalse(startsRunner(lanes, task("2", "ada")));
        lanes.release(first.lane);
        assertEquals("2", lanes.begin().task.message().id());
    }

    @Test
    void oneRunnerStartsAfterAnother() {
        Lanes lanes = new Lanes(2, 100, false);
        for (String key : List.of("ada", "bob", "eve")) {
            lanes.push(FROM, task(key, key));
        }
        assertTrue(lanes.startsRunner());
        assertFalse(lanes.startsRunner(), "one is starting already");
        lanes.runnerBegan();
        lanes.begin();
        assertTrue(lanes.startsRunner(), "the first one is busy");
        lanes.runnerBegan();
        lanes.begin();
        assertFalse(lanes.startsRunner(), "there are as many as may be");
        assertTrue(lanes.takeTurns());
    }
}
