/** Waits that end early, all at once, when somebody says so. */
import type { Clock } from './clock.js';

export class WakeableWaits {
  readonly #wakers = new Set<() => void>();
  #isAwake = false;

  constructor(private readonly clock: Clock) {}

  /** Resolves after `delayMs`, when `signal` aborts, or when {@link end} is called; at once if one of these was before. */
  wait(delayMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#isAwake || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        signal?.removeEventListener('abort', wake);
        this.#wakers.delete(wake);
        resolve();
      };
      const timer = this.clock.setTimer(wake, delayMs);
      signal?.addEventListener('abort', wake);
      this.#wakers.add(wake);
    });
  }

  /** For good: nobody waits any more. */
  end(): void {
    this.#isAwake = true;
    for (const wake of this.#wakers) wake();
  }
}
