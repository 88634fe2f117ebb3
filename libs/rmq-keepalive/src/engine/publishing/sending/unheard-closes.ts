/** Counts the channel closes of a publisher without confirms, which nobody would hear of otherwise. */
import type { Clock } from '../../base/clock.js';

/** Channel closes that follow each other more closely are one trouble: a missing exchange, say. */
const SAME_TROUBLE_MS = 60_000;

export class UnheardCloses {
  #inSuccession = 0;
  #lastAt = -Infinity;

  constructor(private readonly clock: Clock) {}

  /** One more. @returns how many there were in short succession, from 1 */
  count(): number {
    const now = this.clock.now();
    this.#inSuccession = now - this.#lastAt < SAME_TROUBLE_MS ? this.#inSuccession + 1 : 1;
    this.#lastAt = now;
    return this.#inSuccession;
  }
}
