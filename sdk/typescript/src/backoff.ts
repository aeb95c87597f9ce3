/**
 * Exponential back-off with full jitter: each wait is uniform between zero and a limit that doubles from `min` to
 * `max`. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export class Backoff {
  readonly #min: number;
  readonly #max: number;
  #limit = 0;

  /** Both in milliseconds. */
  constructor(min: number, max: number) {
    this.#min = min;
    this.#max = max;
  }

  /** Says how many milliseconds to wait now. */
  next(): number {
    this.#limit = Math.min(Math.max(2 * this.#limit, this.#min), this.#max);
    return Math.random() * this.#limit;
  }

  /** Makes the next wait a short one again. */
  reset(): void {
    this.#limit = 0;
  }
}
