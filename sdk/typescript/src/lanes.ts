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
 * outlives streams, so that the messages of a new stream wait for a handler that still runs for the old one.
 */
export class Lane {
  readonly tasks = new Fifo<Task>();
  /** It is ready, or a runner has it. */
  busy = false;
}

/** The lanes of a consumer, and which of them have something to do. */
export class Lanes {
  readonly #keyWorkers: number;
  readonly #limit: number;
  readonly #byName = new Map<string | number, Lane>();
  #keyless = 0; // takes turns
  /** Those that are not empty and not being run, the first first. */
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
    const lane = this.#of(task);
    lane.tasks.push(task);
    if (lane.busy) {
      return false;
    }
    lane.busy = true;
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
      lane.busy = false; // purged
    }
    this.#running--;
    return undefined;
  }

  /** Takes a lane back whose task is finished. */
  done(lane: Lane): void {
    if (lane.tasks.empty) {
      lane.busy = false;
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

  #of(task: Task): Lane {
    const name = this.#keyWorkers > 0 ? this.#worker(task.message.key) : task.partition.name;
    let lane = this.#byName.get(name);
    if (lane === undefined) {
      lane = new Lane();
      this.#byName.set(name, lane);
    }
    return lane;
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
