/** Waits until a sender has nothing left. */
import type { Clock } from '../../base/clock.js';

export class Flushes {
  readonly #waiting = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  /** Resolves when {@link tellEmpty} is called, or when `deadlineMs` have passed. */
  untilEmpty(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#waiting.delete(end);
        resolve();
      };
      const timer = this.clock.setTimer(end, deadlineMs);
      this.#waiting.add(end);
    });
  }

  tellEmpty(): void {
    if (this.#waiting.size === 0) return;
    for (const end of [...this.#waiting]) end();
  }
}
