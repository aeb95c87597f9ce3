/** Counts the unanswered messages that were produced between two calls of flush. */
export interface FlushGroup {
  unanswered: number;
  /** Are called when the group is sealed and all of it is answered. */
  readonly done: Set<() => void>;
}

/** The groups that flush waits for: all of them, up to the one that its call seals. */
export class FlushGroups {
  #current: FlushGroup = newGroup();
  readonly #sealed = new Set<FlushGroup>();

  /** Adds a message to the group of now. */
  join(): FlushGroup {
    this.#current.unanswered++;
    return this.#current;
  }

  /** Takes an answered message out of its group. */
  leave(group: FlushGroup): void {
    group.unanswered--;
    if (group.unanswered === 0 && this.#sealed.delete(group)) {
      for (const done of group.done) {
        done();
      }
    }
  }

  /** Seals the group of now. Calls `done` when all there is now is answered; returns what takes that back. */
  seal(done: () => void): () => void {
    if (this.#current.unanswered > 0) {
      this.#sealed.add(this.#current);
      this.#current = newGroup();
    }
    let left = this.#sealed.size;
    if (left === 0) {
      done();
      return () => undefined;
    }
    const groups = [...this.#sealed];
    const groupDone = () => {
      left--;
      if (left === 0) {
        done();
      }
    };
    for (const group of groups) {
      group.done.add(groupDone);
    }
    return () => {
      for (const group of groups) {
        group.done.delete(groupDone);
      }
    };
  }
}

function newGroup(): FlushGroup {
  return { unanswered: 0, done: new Set() };
}
