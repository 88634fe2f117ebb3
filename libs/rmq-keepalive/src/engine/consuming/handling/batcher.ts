/** Gathers items until there are `size` of them, or until `waitMs` after the first one; they go on in the async context of the first one. */
import { AsyncContext } from '../../base/async-context.js';
import type { Clock, Timer } from '../../base/clock.js';

export class Batcher<T> {
  #items: T[] = [];
  #timer: Timer | undefined;
  #firstOnes: AsyncContext | undefined;

  constructor(
    private readonly limits: { readonly size: number; readonly waitMs: number },
    private readonly clock: Clock,
    private readonly complete: (items: T[]) => void,
  ) {}

  add(item: T): void {
    const gathered = this.#items.push(item);
    if (gathered === 1) this.#firstOnes = new AsyncContext();
    if (gathered >= this.limits.size) this.#complete();
    else this.#timer ??= this.clock.setTimer(() => this.#complete(), this.limits.waitMs);
  }

  /** What was gathered and is not complete; then nothing is, and no timer runs. */
  takeAll(): T[] {
    this.#timer?.cancel();
    this.#timer = undefined;
    const items = this.#items;
    this.#items = [];
    return items;
  }

  #complete(): void {
    this.#firstOnes!.runInAsyncScope(this.complete, undefined, this.takeAll());
  }
}
