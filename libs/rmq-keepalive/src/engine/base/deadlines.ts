/**
 * The time limits of many things on one timer: a timer for each publish, call or handler would cost more than the thing.
 *
 * The timer stands at the earliest deadline that was ever asked for since it last rang; then all things are looked at. Things
 * with one and the same limit, the usual case, are looked at once in that time.
 *
 * Danger: when our event loop was blocked, timers come before sockets at the wake-up, and the answers lie unread. So nothing
 * is overdue before the sockets were polled.
 */
import type { Clock, Timer } from './clock.js';

interface DeadlinesNeeds<T> {
  /** Everything that may have a deadline, whether {@link Deadlines.set} was called for it or not. */
  all(): Iterable<T>;
  /** On the clock; `Infinity`: none, or none any more. */
  deadlineOf(one: T): number;
  /** These are overdue. Called with one at least. */
  overdue(these: readonly T[]): void;
  /** Deadlines within this time of each other are looked at together. */
  readonly togetherMs: number;
}

export class Deadlines<T> {
  #timer: Timer | undefined;
  #next = Infinity;
  #isEnded = false;

  constructor(
    private readonly clock: Clock,
    private readonly needs: DeadlinesNeeds<T>,
  ) {}

  /** Something has this deadline from now on. */
  set(deadline: number): void {
    if (deadline >= this.#next || this.#isEnded) return;
    this.#disarm();
    this.#arm(deadline);
  }

  /** For good. */
  end(): void {
    this.#isEnded = true;
    this.#disarm();
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#next = Infinity;
  }

  #arm(deadline: number): void {
    this.#next = deadline;
    if (deadline === Infinity) return;
    const delayMs = Math.max(deadline - this.clock.now(), this.needs.togetherMs);
    this.#timer = this.clock.setTimer(() => void this.#look(), delayMs, 'background');
  }

  /** No timer stands while it polls, but for what begins meanwhile. */
  async #look(): Promise<void> {
    const now = this.clock.now();
    this.#disarm();
    await this.clock.untilSocketsPolled();
    if (this.#isEnded) return;
    this.#disarm();
    let next = Infinity;
    const late: T[] = [];
    for (const one of this.needs.all()) {
      const deadline = this.needs.deadlineOf(one);
      if (deadline <= now) late.push(one);
      else if (deadline < next) next = deadline;
    }
    // Before anybody hears of it: who hears may begin something at once, with an earlier deadline.
    this.#arm(next);
    if (late.length > 0) this.needs.overdue(late);
  }
}
