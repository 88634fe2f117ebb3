/** The time limit of the handlers of one consumer: one timer for all of them. It outlives the consumer, as handlers do. */
import type { Clock, Timer } from '../../base/clock.js';
import type { HandlerRun } from './handler-run.js';

export class HandlerDeadlines {
  #timer: Timer | undefined;

  constructor(
    private readonly timeoutMs: number,
    private readonly clock: Clock,
    private readonly runs: ReadonlySet<HandlerRun>,
    private readonly timedOut: (run: HandlerRun) => void,
  ) {}

  /** Call it for each run whose handler begins. */
  began(): void {
    if (this.#timer === undefined) this.#watch(this.timeoutMs);
  }

  #watch(inMs: number): void {
    this.#timer = this.clock.setTimer(() => this.#look(), inMs, 'background');
  }

  #look(): void {
    this.#timer = undefined;
    const now = this.clock.now();
    let soonestMs = Infinity;
    for (const run of this.runs) {
      // Not begun: it waits for a store, say.
      if (run.isDecided || run.startedAt === undefined) continue;
      const leftMs = run.startedAt + this.timeoutMs - now;
      if (leftMs > 0) soonestMs = Math.min(soonestMs, leftMs);
      else this.timedOut(run);
    }
    if (soonestMs < Infinity && this.#timer === undefined) this.#watch(soonestMs);
  }
}
