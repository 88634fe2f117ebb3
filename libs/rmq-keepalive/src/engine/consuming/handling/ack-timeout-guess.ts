/**
 * What a cancelled consumer says about the broker's ack timeout. RabbitMQ 4.3 cancels it over a delivery that is too late, and
 * gives no reason.
 *
 * Danger: a queue that is deleted, and made again at once, looks the same. A guess of a few seconds would let a subscription
 * hold next to nothing from then on.
 * Choice: the first sign counts, since another delivery is too late otherwise; but for an hour only, in which nobody who watches
 * a queue for its pace is misled for long. It counts for good with a second sign of the same age, which two accidents hardly
 * have; and no more when the broker has left us a delivery that is older: a quorum queue is exact to the millisecond.
 */
import type { Clock } from '../../base/clock.js';

export const GUESS_LASTS_MS = 3_600_000;
/** For the way here. */
const SLACK_MS = 1_000;
const SLACK_SHARE = 0.05;

export class AckTimeoutGuess {
  /** Kept in mind also when it does not count any more. */
  #signMs: number | undefined;
  #countsUntil = -Infinity;

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  get ms(): number | undefined {
    return this.clock.now() < this.#countsUntil ? this.#signMs : undefined;
  }

  /** A consumer was cancelled, and its queue is there, when the oldest delivery was of this age. */
  sign(oldestMs: number): void {
    const before = this.#signMs;
    const isSecond = before !== undefined && Math.abs(oldestMs - before) <= slackOf(before);
    this.#signMs = isSecond ? Math.min(before, oldestMs) : oldestMs;
    this.#countsUntil = isSecond ? Infinity : this.clock.now() + GUESS_LASTS_MS;
  }

  /** The broker has left us a delivery of this age. */
  isLeftUs(oldestMs: number): void {
    if (this.#signMs !== undefined && oldestMs > this.#signMs + slackOf(this.#signMs)) this.#countsUntil = -Infinity;
  }
}

function slackOf(ms: number): number {
  return Math.max(SLACK_MS, ms * SLACK_SHARE);
}
