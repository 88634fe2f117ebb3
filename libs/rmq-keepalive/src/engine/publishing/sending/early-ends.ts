/** Ends messages before the broker has answered: by their time limit, or by their signal. What has failed is cleared out then. */
import { AbortWatch } from '../../base/abort-watch.js';
import type { Clock, Timer } from '../../base/clock.js';
import { Deadlines } from '../../base/deadlines.js';
import type { Outgoing } from './outgoing-message.js';

interface EarlyEndsNeeds {
  /** Everything that is queued, waits for room, or is in flight. */
  unsettled(): Iterable<Outgoing>;
  timedOut(entry: Outgoing): void;
  /** Messages have failed: there is room for others. */
  clear(): void;
}

/** What has failed is cleared out together, and time limits that end in that time end together. */
const TOGETHER_MS = 250;

export class EarlyEnds {
  readonly #aborts = new AbortWatch();
  readonly #deadlines: Deadlines<Outgoing>;
  #clearing: Timer | undefined;
  #isOver = false;

  constructor(
    private readonly clock: Clock,
    private readonly needs: EarlyEndsNeeds,
  ) {
    this.#deadlines = new Deadlines(clock, {
      all: () => needs.unsettled(),
      deadlineOf: ({ isSettled, deadline }) => (isSettled ? Infinity : deadline),
      overdue: (these) => {
        for (const entry of these) needs.timedOut(entry);
        this.#clear();
      },
      togetherMs: TOGETHER_MS,
    });
  }

  watch(entry: Outgoing): void {
    if (entry.signal !== undefined) this.#aborts.add(entry.signal, entry);
    this.#deadlines.set(entry.deadline);
  }

  settled(entry: Outgoing): void {
    if (entry.signal !== undefined) this.#aborts.remove(entry.signal, entry);
  }

  clearSoon(): void {
    if (this.#clearing === undefined && !this.#isOver)
      this.#clearing = this.clock.setTimer(() => this.#clear(), TOGETHER_MS, 'background');
  }

  /** Nothing is held any more, or will be. Signals are forgotten one by one. */
  end(): void {
    this.#isOver = true;
    this.#deadlines.end();
    this.#clearing?.cancel();
  }

  #clear(): void {
    this.#clearing?.cancel();
    this.#clearing = undefined;
    this.needs.clear();
  }
}
