/**
 * Which publish waits for which confirm on one channel. Confirms may come out of order and many at a time.
 *
 * The broker counts publishes from 1, so the tags are consecutive and a ring indexed by tag does what a map would do, at
 * a fraction of the cost. It spans from the oldest tag that waits to the newest one given.
 */
export class ConfirmLedger<T> {
  /** A power of two long; a tag stands at `tag & mask`. */
  #ring: (T | undefined)[] = ringOf(1024);
  #oldest = 1;
  #newest = 0;
  #size = 0;

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** From the oldest that waits to the newest, those between that do not wait any more included. */
  get span(): number {
    return this.#newest - this.#oldest + 1;
  }

  /** Notes the next publish on the channel. Call it for every message sent, in order: the broker counts from 1. @returns its tag */
  sent(entry: T): number {
    const tag = ++this.#newest;
    if (this.span > this.#ring.length) this.#grow();
    this.#ring[this.#at(tag)] = entry;
    this.#size += 1;
    return tag;
  }

  /** Nobody waits for this confirm any more; when it comes it settles nothing. */
  forget(tag: number): void {
    this.#take(tag);
  }

  /** Takes out what a basic.ack or basic.nack settles, oldest first, and hands each to `visit`, which may forget others. */
  settle(tag: number, multiple: boolean, visit: (entry: T) => void): void {
    const last = Math.min(tag, this.#newest);
    for (let next = multiple ? this.#oldest : tag; next <= last; next++) {
      const entry = this.#take(next);
      if (entry !== undefined) visit(entry);
    }
  }

  /** The oldest entry from `fromTag` on that fits, or undefined. */
  find(fits: (entry: T) => boolean, fromTag = 0): T | undefined {
    for (let tag = Math.max(fromTag, this.#oldest); tag <= this.#newest; tag++) {
      const entry = this.#ring[this.#at(tag)];
      if (entry !== undefined && fits(entry)) return entry;
    }
    return undefined;
  }

  /** Everything without a confirm, oldest first; the ledger is empty afterwards. */
  takeAll(): T[] {
    const left = [...this.entries()];
    this.settle(this.#newest, true, () => undefined);
    return left;
  }

  *entries(): IterableIterator<T> {
    for (let tag = this.#oldest; tag <= this.#newest; tag++) {
      const entry = this.#ring[this.#at(tag)];
      if (entry !== undefined) yield entry;
    }
  }

  #take(tag: number): T | undefined {
    if (tag < this.#oldest || tag > this.#newest) return undefined;
    const at = this.#at(tag);
    const entry = this.#ring[at];
    if (entry === undefined) return undefined;
    this.#ring[at] = undefined;
    this.#size -= 1;
    while (this.#oldest <= this.#newest && this.#ring[this.#at(this.#oldest)] === undefined) this.#oldest += 1;
    return entry;
  }

  #at(tag: number): number {
    return tag & (this.#ring.length - 1);
  }

  #grow(): void {
    const old = this.#ring;
    this.#ring = ringOf(old.length * 2);
    for (let tag = this.#oldest; tag < this.#newest; tag++) this.#ring[this.#at(tag)] = old[tag & (old.length - 1)];
  }
}

function ringOf<T>(length: number): (T | undefined)[] {
  return Array.from({ length }, () => undefined);
}
