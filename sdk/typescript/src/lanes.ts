import { Fifo } from "./fifo.js";
import type { Message } from "./message.js";
import type { Partition } from "./session.js";

/** A message to handle. */
export interface Task {
  readonly partition: Partition;
  readonly message: Message;
  /** The message's; the handler may change what it was given. */
  readonly id: string;
}

/**
 * A queue of messages that are handled one after another: those of a partition, or some keys of all partitions. It
 * outlives streams, so that the messages of a new stream wait for a handler that still runs for the old one. It doesn't
 * outlive its last message, as there may be any number of names.
 */
export class Lane {
  readonly tasks = new Fifo<Task>();

  constructor(readonly name: string | number) {}
}

/** The lanes of a consumer, and which of them have something to do. */
export class Lanes {
  readonly #keyWorkers: number;
  readonly #limit: number;
  /** Those that are ready, and those that are being run. */
  readonly #byName = new Map<string | number, Lane>();
  #keyless = 0; // takes turns
  /** Those that are not being run, the first first. They have something to do, unless that was purged. */
  readonly #ready = new Fifo<Lane>();
  #running = 0;

  /** With `keyWorkers`, unless 0, lanes are of keys, and there are so many; `limit`, unless 0, is that of runners. */
  constructor(keyWorkers: number, limit: number) {
    this.#keyWorkers = keyWorkers;
    this.#limit = limit;
  }

  /** How many runners there are. */
  get running(): number {
    return this.#running;
  }

  /** Queues a task, and says whether another runner is needed for it. */
  push(task: Task): boolean {
    const name = this.#nameFor(task);
    const known = this.#byName.get(name);
    if (known !== undefined) {
      known.tasks.push(task);
      return false;
    }
    const lane = new Lane(name);
    lane.tasks.push(task);
    this.#byName.set(name, lane);
    this.#ready.push(lane);
    if (this.#limit > 0 && this.#running >= this.#limit) {
      return false;
    }
    this.#running++;
    return true;
  }

  /** Takes the next task and its lane, or ends the runner. */
  pop(): { readonly lane: Lane; readonly task: Task } | undefined {
    for (let lane = this.#ready.shift(); lane !== undefined; lane = this.#ready.shift()) {
      const task = lane.tasks.shift();
      if (task !== undefined) {
        return { lane, task };
      }
      this.#byName.delete(lane.name); // purged
    }
    this.#running--;
    return undefined;
  }

  /** Takes a lane back whose task is finished. */
  done(lane: Lane): void {
    if (lane.tasks.empty) {
      this.#byName.delete(lane.name);
    } else {
      this.#ready.push(lane);
    }
  }

  /** Drops the tasks that `drop` says, wherever they are. */
  purge(drop: (task: Task) => boolean): void {
    for (const lane of this.#byName.values()) {
      lane.tasks.purge(drop);
    }
  }

  #nameFor({ message, partition }: Task): string | number {
    return this.#keyWorkers > 0 ? this.#worker(message.key) : partition.name;
  }

  #worker(key: Uint8Array | null): number {
    return (key === null ? this.#keyless++ : hash(key)) % this.#keyWorkers;
  }
}

/** FNV-1a, of 32 bits. */
function hash(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (const byte of bytes) {
    h = Math.imul(h ^ byte, 0x01000193);
  }
  return (h ^ (h >>> 15)) >>> 0; // its low bits alone are poor
}
