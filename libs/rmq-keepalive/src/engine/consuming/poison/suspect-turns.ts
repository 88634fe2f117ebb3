/**
 * Handles messages that may be poison one at a time.
 *
 * When a process dies, *everything* that it had in hand comes back and is counted, the guilty message with up to a whole
 * prefetch of innocent ones. Handled side by side they would reach the limit together. So those that came back suspiciously
 * often take turns, in random order: each life of a process finishes half of the innocent ones before it meets the guilty
 * one, on average, and after a few lives that one is alone.
 */
import type { Clock, Timer } from '../../base/clock.js';

/** They come in a burst; the first one to arrive is not to be the first one to go. */
const GATHER_MS = 100;

type Turn = (what: 'begin' | 'forget') => void;

export class SuspectTurns {
  readonly #waiting: Turn[] = [];
  #isTaken = false;
  #isStopped = false;
  #gathering: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly random: () => number = Math.random,
  ) {}

  /** Runs `handle` when its turn has come. Resolves with whether it did: not when the lane was stopped first. */
  async run(handle: () => Promise<void>): Promise<boolean> {
    if (this.#isStopped) return false;
    const turn = await new Promise<Parameters<Turn>[0]>((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#isTaken) this.#gathering ??= this.clock.setTimer(() => this.#next(), GATHER_MS);
    });
    if (turn === 'forget') return false;
    try {
      await handle();
    } finally {
      // With its ack on the way: the next one may be the one that kills.
      await this.clock.untilSocketsPolled();
      this.#next();
    }
    return true;
  }

  /** Nobody begins any more. */
  end(): void {
    this.#isStopped = true;
    this.#gathering?.cancel();
    for (const turn of this.#waiting.splice(0)) turn('forget');
  }

  #next(): void {
    this.#gathering = undefined;
    const [turn] = this.#waiting.splice(Math.floor(this.random() * this.#waiting.length), 1);
    this.#isTaken = turn !== undefined;
    turn?.('begin');
  }
}
