/** The longest time that a timer of Node takes; with a longer one it would fire at once. */
const longestTimer = 2 ** 31 - 1;

/** Is `setTimeout` for any time, which may be infinite: about 24 days are for ever. */
export function after(ms: number, then: () => void): NodeJS.Timeout {
  return setTimeout(then, Math.min(ms, longestTimer));
}

/**
 * Calls a function that isn't this library's. What it throws, or its promise rejects with, which nobody waits for, goes
 * to `failed`: otherwise that would end the process.
 */
export async function callSafely(call: () => unknown, failed: (error: unknown) => void): Promise<void> {
  try {
    await call();
  } catch (error) {
    failed(error);
  }
}

/** Something that ends once, for a reason, and tells whoever minds. */
export class Ending {
  #ended = false;
  #reason: unknown;
  readonly #listeners = new Set<() => void>();

  get ended(): boolean {
    return this.#ended;
  }

  /** Why it has ended. */
  get reason(): unknown {
    return this.#reason;
  }

  /** Ends it. Only the first call counts. */
  end(reason?: unknown): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    this.#reason = reason;
    for (const listener of this.#listeners) {
      listener();
    }
    this.#listeners.clear();
  }

  /** Calls `listener` at the end, at once if that is past. Returns what takes it back. */
  onEnd(listener: () => void): () => void {
    if (this.#ended) {
      listener();
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** Calls `listener` when `signal` is aborted, at once if it is. Returns what takes it back. */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) {
    return () => undefined;
  }
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  signal.addEventListener("abort", listener, { once: true });
  return () => {
    signal.removeEventListener("abort", listener);
  };
}

/** Waits for some time, or until something ends. Says whether the time is over. */
export async function sleep(ms: number, ...endings: Ending[]): Promise<boolean> {
  const cleanups: (() => void)[] = [];
  const over = await new Promise<boolean>((resolve) => {
    const timer = after(ms, () => {
      resolve(true);
    });
    cleanups.push(() => {
      clearTimeout(timer);
    });
    for (const ending of endings) {
      cleanups.push(
        ending.onEnd(() => {
          resolve(false);
        }),
      );
    }
  });
  for (const cleanup of cleanups) {
    cleanup();
  }
  return over;
}

/**
 * Wakes one waiter, when all that runs now has had its say: then it finds everything that has gathered. What is set
 * while nobody waits wakes the next one at once.
 */
export class Wake {
  #set = false;
  #waiter: (() => void) | undefined;

  set(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) {
      this.#set = true;
      return;
    }
    this.#waiter = undefined;
    process.nextTick(waiter);
  }

  wait(): Promise<void> {
    if (this.#set) {
      this.#set = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }
}

/** How many milliseconds may pass before input and output get a turn. */
const turnMilliseconds = 10;
let turnBegan: number | undefined;

/**
 * Lets input and output go on if they have waited for long. Promises alone never let them: handlers that don't wait for
 * anything would hold up ACKs and keepalives.
 */
export function takeTurns(): Promise<void> | undefined {
  if (turnBegan === undefined) {
    turnBegan = performance.now();
    setImmediate(() => {
      turnBegan = undefined;
    });
    return undefined;
  }
  return performance.now() - turnBegan < turnMilliseconds ? undefined : new Promise((resolve) => setImmediate(resolve));
}
