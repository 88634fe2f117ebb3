/** Gathers items until there are `size` of them, or until `waitMs` after the first one. */
import type { Clock, Timer } from '../../base/clock.js';

export class Batcher<T> {
  #items: T[] = [];
  #timer: Timer | undefined;

  constructor(
    private readonly limits: { readonly size: number; readonly waitMs: number },
    private readonly clock: Clock,
    private readonly complete: (items: T[]) => void,
  ) {}

  add(item: T): void {
    const gathered = this.#items.push(item);
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
    this.complete(this.takeAll());
  }
}
