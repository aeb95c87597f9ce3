package io.github.messageproxy;

import com.google.protobuf.ByteString;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Predicate;

/**
 * The queues of a consumer's messages, and which of them have something to do. They outlive streams, so that the
 * messages of a new stream wait for a handler that still runs for the old one. The consumer's lock guards them.
 */
final class Lanes {
    /** A message to handle. */
    record Task(Session.Partition partition, Message message) {}

    /** A queue of messages that are handled one after another: those of a partition, or some keys of all partitions. */
    static final class Lane {
        private final ArrayDeque<Task> tasks = new ArrayDeque<>();
        /** It is in the ready queue, or a runner has it. */
        private boolean busy;
    }

    /** The next task of a runner, and the lane that it came from. */
    record Turn(Lane lane, Task task) {}

    private final Map<TopicPartition, Lane> byPartition = new HashMap<>();
    private final Map<Integer, Lane> byKey = new HashMap<>(); // with key workers, instead of byPartition
    private final int keyWorkers; // 0: by partition
    private int keyless; // takes turns
    /** Lanes that no runner has, the first first. */
    private final ArrayDeque<Lane> ready = new ArrayDeque<>();
    private int running;
    private final int limit; // of runners; 0: none

    Lanes(int maxHandlers, int keyWorkers) {
        limit = maxHandlers;
        this.keyWorkers = keyWorkers;
    }

    private Lane of(Message message) {
        if (keyWorkers == 0) {
            return byPartition.computeIfAbsent(message.from(), name -> new Lane());
        }
        ByteString key = message.keyBytes();
        if (key == null) {
            keyless = (keyless + 1) % keyWorkers;
            return byKey.computeIfAbsent(keyless, worker -> new Lane());
        }
        int hash = key.hashCode() * 0x9E3779B9; // spreads keys that differ in few bits
        return byKey.computeIfAbsent(Math.floorMod(hash ^ hash >>> 16, keyWorkers), worker -> new Lane());
    }

    /** Queues a task, and tells whether another runner is needed for it, which counts from now on. */
    boolean push(Task task) {
        Lane lane = of(task.message());
        lane.tasks.add(task);
        if (lane.busy) {
            return false;
        }
        lane.busy = true;
        ready.add(lane);
        if (limit > 0 && running >= limit) {
            return false;
        }
        running++;
        return true;
    }

    /** The next task, or null, which ends the runner. */
    Turn pop() {
        for (Lane lane = ready.poll(); lane != null; lane = ready.poll()) {
            Task task = lane.tasks.poll();
            if (task != null) {
                return new Turn(lane, task);
            }
            lane.busy = false; // purged
        }
        running--;
        return null;
    }

    /** Takes a lane back whose task is finished. */
    void done(Lane lane) {
        if (lane.tasks.isEmpty()) {
            lane.busy = false;
        } else {
            ready.add(lane);
        }
    }

    /** A runner that nothing could run is over. */
    void runnerRejected() {
        running--;
    }

    int running() {
        return running;
    }

    /** Drops the tasks that a predicate holds for, wherever they are. */
    void purge(Predicate<Task> drop) {
        byPartition.values().forEach(lane -> lane.tasks.removeIf(drop));
        byKey.values().forEach(lane -> lane.tasks.removeIf(drop));
    }
}
