/** The end of a wait: it can be brought forward while it is waited for, never put off. */
import type { Clock, Timer } from './clock.js';

export class Deadline {
  /** Resolves at the deadline; never after {@link end}. */
  readonly passed: Promise<void>;
  #at: number;
  #timer: Timer | undefined;
  #pass!: () => void;

  constructor(
    private readonly clock: Clock,
    afterMs: number,
  ) {
    this.passed = new Promise((resolve) => (this.#pass = resolve));
    this.#at = clock.now() + afterMs;
    this.#arm(afterMs);
  }

  get leftMs(): number {
    return Math.max(0, this.#at - this.clock.now());
  }

  /** It passes after `afterMs` from now, unless it would have passed before. */
  shorten(afterMs: number): void {
    if (this.#timer === undefined || afterMs >= this.leftMs) return;
    this.#at = this.clock.now() + afterMs;
    this.#timer.cancel();
    this.#arm(afterMs);
  }

  /** Nobody waits for it any more. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(afterMs: number): void {
    this.#timer = this.clock.setTimer(() => {
      this.#timer = undefined;
      this.#pass();
    }, afterMs);
  }
}
