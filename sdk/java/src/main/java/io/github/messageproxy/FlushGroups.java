package io.github.messageproxy;

import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** The groups that a flush waits for: all of them, up to the one that its call seals. The producer's lock guards it. */
final class FlushGroups {
    /** Counts the messages without an outcome that were given to the client between two flushes. */
    static final class Group {
        private int unanswered;
        private final CompletableFuture<Void> done = new CompletableFuture<>();
    }

    private Group current = new Group();
    private final Set<Group> sealed = new LinkedHashSet<>();

    void join(Pending m) {
        m.group = current;
        m.group.unanswered++;
    }

    /** Notes that m's caller knows the outcome. Returns what is to be completed without the lock, or null. */
    CompletableFuture<Void> leave(Pending m) {
        Group group = m.group;
        group.unanswered--;
        return group.unanswered == 0 && sealed.remove(group) ? group.done : null;
    }

    /** Ends the current group, and returns a future for it and all before it. */
    CompletableFuture<Void> seal() {
        if (current.unanswered > 0) {
            sealed.add(current);
            current = new Group();
        }
        return CompletableFuture.allOf(sealed.stream().map(group -> group.done).toArray(CompletableFuture<?>[]::new));
    }
}
