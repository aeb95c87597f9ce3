package io.github.messageproxy;

import com.google.protobuf.ByteString;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * The queues of a consumer's messages, and which of them have something to do. They outlive streams, so that the
 * messages of a new stream wait for a handler that still runs for the old one. The consumer's lock guards them.
 */
final class Lanes {
    /** A message to handle. */
    record Task(Session.Partition partition, Message message) {}

    /**
     * A queue of messages that are handled one after another: those of a partition, or some keys of all partitions. Its
     * monitor guards it, so that a runner that has it goes from one message to the next without the consumer's lock,
     * for which all would wait. The monitor comes after the consumer's lock, and nothing is taken while it is held.
     */
    static final class Lane {
        private final Object name;
        private final ArrayDeque<Task> tasks = new ArrayDeque<>();
        private Handling current; // or null

        private Lane(Object name) {
            this.name = name;
        }

        private synchronized void addAll(List<Task> more) {
            tasks.addAll(more);
        }

        /** Begins the next task, as the current one is finished. Null: there is none. For the runner that has it. */
        synchronized Handling next() {
            Task task = tasks.poll();
            current = task == null ? null : new Handling(this, task);
            return current;
        }

        /** Tells whether there are more tasks, none of which begins now. */
        private synchronized boolean finish() {
            current = null;
            return !tasks.isEmpty();
        }

        private synchronized void purge(Predicate<Task> drop) {
            tasks.removeIf(drop);
        }

        private synchronized Handling current() {
            return current;
        }
    }

    /**
     * By partition, or with key workers, by the worker's number. Each of them is in the ready queue, or a runner has
     * it: those that have nothing to do are forgotten, as there may be many more of them.
     */
    private final Map<Object, Lane> lanes = new HashMap<>();
    private final int keyWorkers; // 0: by partition
    private int keyless; // takes turns
    /** Lanes that no runner has, the first first. */
    private final ArrayDeque<Lane> ready = new ArrayDeque<>();
    private volatile boolean someWait; // some are ready
    private int running;
    /**
     * One of the running ones was asked for and hasn't begun. Only one at a time: when it begins, it asks for the next
     * if lanes are still ready. So messages that take little time cost few wake-ups, as those who run already get to
     * most lanes first; and no lane waits for a handler, however long that takes.
     */
    private boolean starting;
    private final int limit; // of runners; 0: none
    private final boolean threadsAreFew; // there may be fewer than lanes, so that those take turns

    Lanes(int maxHandlers, int keyWorkers, boolean ownExecutor) {
        limit = maxHandlers;
        threadsAreFew = maxHandlers > 0 || ownExecutor;
        this.keyWorkers = keyWorkers;
    }

    /** Queues messages of a partition. To be followed by {@link #startsRunner}. */
    void push(TopicPartition from, List<Task> tasks) {
        if (keyWorkers == 0) {
            enqueue(from, tasks);
            return;
        }
        for (Task task : tasks) {
            enqueue(worker(task.message().keyBytes()), List.of(task));
        }
    }

    /** The number of the worker for a key; what has none goes to one that is free, if there is any. */
    private int worker(ByteString key) {
        if (key != null) {
            int hash = key.hashCode() * 0x9E3779B9; // spreads keys that differ in few bits
            return Math.floorMod(hash ^ hash >>> 16, keyWorkers);
        }
        do {
            keyless = (keyless + 1) % keyWorkers;
        } while (lanes.containsKey(keyless) && lanes.size() < keyWorkers);
        return keyless;
    }

    /** Queues tasks in the lane with a name. */
    private void enqueue(Object name, List<Task> tasks) {
        Lane lane = lanes.get(name);
        if (lane != null) {
            lane.addAll(tasks);
            return;
        }
        lane = new Lane(name);
        lane.addAll(tasks);
        lanes.put(name, lane);
        addReady(lane);
    }

    /** Whether another runner is to be started, which counts from now on. */
    boolean startsRunner() {
        if (ready.isEmpty() || starting || (limit > 0 && running >= limit)) {
            return false;
        }
        starting = true;
        running++;
        return true;
    }

    /** A runner that was started has begun. */
    void runnerBegan() {
        starting = false;
    }

    /**
     * Begins the next task of the first lane, which the runner then has. Null: there is none; the runner ends. To be
     * followed by {@link #startsRunner}.
     */
    Handling begin() {
        for (Lane lane = pollReady(); lane != null; lane = pollReady()) {
            Handling handling = lane.next();
            if (handling != null) {
                return handling;
            }
            lanes.remove(lane.name); // purged
        }
        running--;
        return null;
    }

    /** Takes a lane back from its runner, whose task is finished. */
    void release(Lane lane) {
        if (lane.finish()) {
            addReady(lane);
        } else {
            lanes.remove(lane.name);
        }
    }

    /** How many lanes have something to do. */
    int size() {
        return lanes.size();
    }

    private void addReady(Lane lane) {
        ready.add(lane);
        someWait = true;
    }

    private Lane pollReady() {
        Lane lane = ready.poll();
        someWait = !ready.isEmpty();
        return lane;
    }

    /**
     * Whether lanes wait, and perhaps for those who run, which then go from lane to lane after each message. Where
     * there is a thread for everyone, those lanes' own runner is on its way. May be called without the lock.
     */
    boolean takeTurns() {
        return threadsAreFew && someWait;
    }

    /** A runner that couldn't be started, or that failed, is over. */
    void runnerLost() {
        running--;
    }

    int running() {
        return running;
    }

    /** Drops the tasks that haven't begun and that a predicate holds for, wherever they are. */
    void purge(Predicate<Task> drop) {
        lanes.values().forEach(lane -> lane.purge(drop));
    }

    /** What is begun and not finished. */
    List<Handling> handlings() {
        List<Handling> handlings = new ArrayList<>();
        for (Lane lane : lanes.values()) {
            Handling current = lane.current();
            if (current != null) {
                handlings.add(current);
            }
        }
        return handlings;
    }
}
