/**
 * What may be worked on now: at most `width` items at a time, and of each key one at a time, in the order they came.
 *
 * Items without a key (`undefined`) are in nobody's way. An item that has to wait comes out of {@link Turns.leave} when
 * its turn has come; each step takes the same time, however many wait.
 */
import { Fifo } from '../../base/fifo.js';

interface Waiting<T> {
  readonly item: T;
  readonly key: unknown;
}

export class Turns<T> {
  #working = 0;
  /** In nobody's way; they wait for room only. */
  readonly #ready = new Fifo<Waiting<T>>();
  /** For each key at work or ready: who comes after. */
  readonly #followers = new Map<unknown, Fifo<Waiting<T>>>();
  #following = 0;

  constructor(private readonly width: number) {}

  get waiting(): number {
    return this.#ready.size + this.#following;
  }

  /** True: begin with it now, and call {@link leave} when done. False: wait. */
  enter(item: T, key?: unknown): boolean {
    if (key !== undefined) {
      const followers = this.#followers.get(key);
      if (followers !== undefined) {
        followers.push({ item, key });
        this.#following += 1;
        return false;
      }
      this.#followers.set(key, new Fifo());
    }
    if (this.#working < this.width) {
      this.#working += 1;
      return true;
    }
    this.#ready.push({ item, key });
    return false;
  }

  /** The work on an item with this key is done. @returns the item to begin with in its place */
  leave(key?: unknown): T | undefined {
    if (key !== undefined) this.#nextOf(key);
    const next = this.#ready.shift();
    if (next === undefined) this.#working -= 1;
    return next?.item;
  }

  /** All that wait, which now do so no longer. */
  takeWaiting(): T[] {
    const waiting = this.#ready.takeAll();
    // Nobody works on these keys; of the others somebody does, so they stay taken.
    const idleKeys = waiting.map(({ key }) => key);
    for (const followers of this.#followers.values()) waiting.push(...followers.takeAll());
    for (const key of idleKeys) this.#followers.delete(key);
    this.#following = 0;
    return waiting.map(({ item }) => item);
  }

  #nextOf(key: unknown): void {
    const next = this.#followers.get(key)?.shift();
    if (next === undefined) {
      this.#followers.delete(key);
      return;
    }
    this.#following -= 1;
    this.#ready.push(next);
  }
}
