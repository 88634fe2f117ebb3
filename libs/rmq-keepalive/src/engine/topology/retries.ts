/** Asks again every so often, for as long as there is anything to ask for; one round at a time. */
import type { Clock, Timer } from '../base/clock.js';

interface RetriesNeeds {
  readonly clock: Clock;
  /** From the end of one round to the next one. */
  readonly everyMs: number;
  isAnyToRetry(): boolean;
  /** One round. Must not reject. */
  retry(): Promise<void>;
}

export class Retries {
  #timer: Timer | undefined;
  #isUnderWay = false;
  #isEnded = false;

  constructor(private readonly needs: RetriesNeeds) {}

  /** Call whenever there may be something to retry. */
  arm(): void {
    if (this.#timer !== undefined || this.#isUnderWay || this.#isEnded || !this.needs.isAnyToRetry()) return;
    this.#timer = this.needs.clock.setTimer(() => void this.#round(), this.needs.everyMs);
  }

  /** Not beside a round that is under way: the next one follows it in its time, so that nothing is asked for twice in a row. */
  now(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    void this.#round();
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #round(): Promise<void> {
    this.#timer = undefined;
    this.#isUnderWay = true;
    await this.needs.retry();
    this.#isUnderWay = false;
    this.arm();
  }
}
