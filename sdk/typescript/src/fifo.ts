/** A queue. */
export class Fifo<T> {
  #items: T[] = [];
  #next = 0;

  get empty(): boolean {
    return this.#next === this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#next];
    if (this.#next < this.#items.length) {
      this.#next++;
      this.#forget();
    }
    return item;
  }

  /** Drops the items that `drop` says. */
  purge(drop: (item: T) => boolean): void {
    this.#items = this.#items.slice(this.#next).filter((item) => !drop(item));
    this.#next = 0;
  }

  /** Frees what was taken, seldom enough to cost nothing. */
  #forget(): void {
    if (this.#next === this.#items.length) {
      this.#items.length = 0;
      this.#next = 0;
    } else if (this.#next >= 64 && 2 * this.#next >= this.#items.length) {
      this.#items.splice(0, this.#next);
      this.#next = 0;
    }
  }
}
