import type { Pending } from "./pending.js";

/** Bounds what is outstanding, by number and bytes, and lets in what waits for a place, in its order. */
export class Room {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #admit: (m: Pending) => void;
  #messages = 0;
  #bytes = 0;
  readonly #waiting = new Set<Pending>();

  /** `admit` is called with each message that gets its place. */
  constructor(limits: { readonly messages: number; readonly bytes: number }, admit: (m: Pending) => void) {
    this.#maxMessages = limits.messages;
    this.#maxBytes = limits.bytes;
    this.#admit = admit;
  }

  /** Gives a message its place, as soon as there is one. */
  enter(m: Pending): void {
    if (this.#waiting.size === 0 && this.#fits(m.size)) {
      this.#take(m);
    } else {
      this.#waiting.add(m);
    }
  }

  /** Takes a message back that has no place yet. */
  withdraw(m: Pending): void {
    this.#waiting.delete(m);
    this.#admitThoseThatFit(); // it may have been too large where the next ones fit
  }

  /** Takes back all that have no place yet. */
  withdrawAll(): Pending[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    return all;
  }

  /** Takes a message's place back. */
  leave(m: Pending): void {
    this.#messages--;
    this.#bytes -= m.size;
    this.#admitThoseThatFit();
  }

  #admitThoseThatFit(): void {
    for (const m of this.#waiting) {
      if (!this.#fits(m.size)) {
        return;
      }
      this.#waiting.delete(m);
      this.#take(m);
    }
  }

  #take(m: Pending): void {
    this.#messages++;
    this.#bytes += m.size;
    this.#admit(m);
  }

  #fits(size: number): boolean {
    return this.#messages === 0 || (this.#messages < this.#maxMessages && this.#bytes + size <= this.#maxBytes);
  }
}
