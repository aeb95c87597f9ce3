import type { Pending } from "./pending.js";

/** Waits for the abort of a signal on behalf of all messages that have it, with one listener. */
export class Watches {
  readonly #abandon: (m: Pending) => void;
  readonly #watched = new Map<AbortSignal, { readonly messages: Set<Pending>; readonly listener: () => void }>();

  /** `abandon` is called with each message whose signal is aborted. */
  constructor(abandon: (m: Pending) => void) {
    this.#abandon = abandon;
  }

  add(m: Pending): void {
    const { signal } = m;
    if (signal === undefined) {
      return;
    }
    const watch = this.#watched.get(signal);
    if (watch !== undefined) {
      watch.messages.add(m);
      return;
    }
    const messages = new Set([m]);
    const listener = () => {
      for (const message of messages) {
        this.#abandon(message);
      }
    };
    signal.addEventListener("abort", listener, { once: true });
    this.#watched.set(signal, { messages, listener });
  }

  delete(m: Pending): void {
    const { signal } = m;
    const watch = signal === undefined ? undefined : this.#watched.get(signal);
    if (signal === undefined || watch === undefined) {
      return;
    }
    watch.messages.delete(m);
    if (watch.messages.size === 0) {
      signal.removeEventListener("abort", watch.listener);
      this.#watched.delete(signal);
    }
  }
}
