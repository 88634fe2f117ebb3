/** Which publish waits for which confirm on one channel. Confirms may come out of order and many at a time; each costs O(1). */
export class ConfirmLedger<T> {
  /** In order of their tags: insertion order is sending order. */
  readonly #waiting = new Map<number, T>();
  #lastTag = 0;

  get size(): number {
    return this.#waiting.size;
  }

  /** Notes the next publish on the channel. Call it for every message sent, in order: the broker counts from 1. @returns its tag */
  sent(entry: T): number {
    this.#waiting.set(++this.#lastTag, entry);
    return this.#lastTag;
  }

  /** Nobody waits for this confirm any more; when it comes it settles nothing. */
  forget(tag: number): void {
    this.#waiting.delete(tag);
  }

  /** Takes out what a basic.ack or basic.nack settles. */
  settle(tag: number, multiple: boolean): T[] {
    if (!multiple) {
      const entry = this.#waiting.get(tag);
      return entry !== undefined && this.#waiting.delete(tag) ? [entry] : [];
    }
    const settled: T[] = [];
    for (const [waitingTag, entry] of this.#waiting) {
      if (waitingTag > tag) break;
      this.#waiting.delete(waitingTag);
      settled.push(entry);
    }
    return settled;
  }

  /** The oldest entry that fits, or undefined. */
  find(fits: (entry: T) => boolean): T | undefined {
    for (const entry of this.#waiting.values()) if (fits(entry)) return entry;
    return undefined;
  }

  /** Everything without a confirm, oldest first; the ledger is empty afterwards. */
  takeAll(): T[] {
    const left = [...this.#waiting.values()];
    this.#waiting.clear();
    return left;
  }

  entries(): IterableIterator<T> {
    return this.#waiting.values();
  }
}
