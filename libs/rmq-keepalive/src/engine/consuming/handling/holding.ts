/** How much one subscription may hold, over all its consumers: its prefetch now, and the pace of its handlers. */
import type { Clock } from '../../base/clock.js';
import { AckTimeoutGuess } from './ack-timeout-guess.js';
import { ackTimeoutIn, budgetOf, longestBatchWait, looksEveryMs } from '../options/ack-timeout.js';
import { type LineFacts, type LineVerdict, lineVerdict } from './time-in-line.js';
import type { WantedSubscription } from '../options/subscription.js';

/** The newest run counts for an eighth. */
const WEIGHT = 1 / 8;

export class Holding {
  #prefetch: number;
  #later: number | undefined;
  #ackTimeoutMs: number;
  #usualRunMs: number | undefined;
  readonly #guess: AckTimeoutGuess;

  constructor(
    private readonly wanted: WantedSubscription,
    clock: Pick<Clock, 'now'>,
  ) {
    this.#guess = new AckTimeoutGuess(clock);
    this.#prefetch = wanted.prefetch;
    this.#ackTimeoutMs = wanted.ack === 'none' ? Infinity : wanted.ackTimeoutMs;
  }

  /** Of the next consumer, and of the one that is attached. */
  get prefetch(): number {
    return this.#prefetch;
  }

  /** It is not all that was asked for: then every run is measured. */
  get isShrunk(): boolean {
    return this.#prefetch < this.wanted.prefetch;
  }

  get ackTimeoutMs(): number {
    return Math.min(this.#guess.ms ?? Infinity, this.#ackTimeoutMs);
  }

  /** What a change of the prefetch is made by. */
  get pace(): { usualRunMs: number | undefined; ackTimeoutMs: number; isAckTimeoutGuessed: boolean } {
    const { usualRunMs, ackTimeoutMs } = this;
    return { usualRunMs, ackTimeoutMs, isAckTimeoutGuessed: ackTimeoutMs < this.#ackTimeoutMs };
  }

  get usualRunMs(): number | undefined {
    return this.#usualRunMs;
  }

  /** `undefined`: the broker waits for ever, and so may everything else. */
  get looksEveryMs(): number | undefined {
    return this.ackTimeoutMs === Infinity ? undefined : looksEveryMs(this.ackTimeoutMs);
  }

  get batch(): { readonly size: number; readonly waitMs: number } | undefined {
    const { batch } = this.wanted;
    if (batch === undefined || this.ackTimeoutMs === Infinity) return batch;
    return { ...batch, waitMs: Math.min(batch.waitMs, longestBatchWait(this.ackTimeoutMs)) };
  }

  /** A handler took so long. */
  took(ms: number): void {
    this.#usualRunMs = this.#usualRunMs === undefined ? ms : this.#usualRunMs + (ms - this.#usualRunMs) * WEIGHT;
  }

  /** The broker closed the channel, and perhaps says how long it had waited for an ack. */
  heard(text = ''): void {
    this.#ackTimeoutMs = ackTimeoutIn(text) ?? this.#ackTimeoutMs;
  }

  /** It cancelled the consumer of a queue that is there, when the oldest delivery was of this age: so long it waits, it seems. */
  wasTooLate(oldestMs: number): void {
    this.#guess.sign(oldestMs);
  }

  /** The oldest delivery is of this age, and the consumer is not cancelled. */
  isLeftUs(oldestMs: number): void {
    this.#guess.isLeftUs(oldestMs);
  }

  change(prefetch: number): void {
    this.#prefetch = prefetch;
    this.#later = undefined;
  }

  /** Called with the next consumer. */
  changeLater(prefetch: number): void {
    this.#later = prefetch;
  }

  /** Nothing is attached: what was left for later is done. */
  beginAnew(): void {
    if (this.#later !== undefined) this.change(this.#later);
  }

  isTooOld(ageMs: number): boolean {
    return ageMs > budgetOf(this.ackTimeoutMs);
  }

  /** After so long something of this age is too old. */
  tooOldInMs(ageMs: number): number {
    return Math.max(0, budgetOf(this.ackTimeoutMs) - ageMs);
  }

  verdict(facts: LineFacts): LineVerdict {
    const { prefetch: wanted, concurrency, orderedBy, batch } = this.wanted;
    // With an order, one key may have all of them.
    const least = orderedBy === undefined ? Math.min(wanted, concurrency * (batch?.size ?? 1)) : 1;
    return lineVerdict(facts, {
      budgetMs: budgetOf(this.ackTimeoutMs),
      prefetch: this.#prefetch,
      wanted,
      least,
    });
  }
}
