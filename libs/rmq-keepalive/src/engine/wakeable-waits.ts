/** Waits that end early, all at once, when somebody says so. */
import type { Clock } from './clock.js';

export class WakeableWaits {
  readonly #wakers = new Set<() => void>();
  #isAwake = false;

  constructor(private readonly clock: Clock) {}

  /** Resolves after `delayMs`, or when {@link wakeAll} is called; at once if it was. */
  wait(delayMs: number): Promise<void> {
    if (this.#isAwake) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        this.#wakers.delete(wake);
        resolve();
      };
      const timer = this.clock.setTimer(wake, delayMs);
      this.#wakers.add(wake);
    });
  }

  /** For good: nobody waits any more. */
  wakeAll(): void {
    this.#isAwake = true;
    for (const wake of this.#wakers) wake();
  }
}
