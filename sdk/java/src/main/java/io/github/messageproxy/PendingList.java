package io.github.messageproxy;

/** A doubly linked list, so that a message that is withdrawn leaves the middle of a long queue at no cost. */
final class PendingList {
    private Pending first;
    private Pending last;

    Pending first() {
        return first;
    }

    boolean isEmpty() {
        return first == null;
    }

    void addLast(Pending m) {
        m.previous = last;
        m.next = null;
        if (last == null) {
            first = m;
        } else {
            last.next = m;
        }
        last = m;
    }

    void addFirst(Pending m) {
        m.previous = null;
        m.next = first;
        if (first == null) {
            last = m;
        } else {
            first.previous = m;
        }
        first = m;
    }

    void remove(Pending m) {
        if (m.previous == null) {
            first = m.next;
        } else {
            m.previous.next = m.next;
        }
        if (m.next == null) {
            last = m.previous;
        } else {
            m.next.previous = m.previous;
        }
        m.previous = null;
        m.next = null;
    }
}
