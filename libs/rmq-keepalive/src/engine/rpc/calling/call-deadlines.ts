/**
 * The time limits of many calls on one timer: a timer for each would cost more than the call.
 *
 * The timer stands at the earliest deadline that was ever asked for since it last rang; then all calls are looked at. Calls
 * with one and the same limit, the usual case, are looked at once in that time.
 *
 * Danger: when our event loop was blocked, timers come before sockets at the wake-up, and the replies lie unread. So nobody
 * is overdue before the sockets were polled.
 */
import type { Clock, Timer } from '../../base/clock.js';

/** Calls that end within this time of each other are looked at together. */
const TOGETHER_MS = 5;

export interface Limited {
  readonly deadline: number;
}

export class CallDeadlines<C extends Limited> {
  #timer: Timer | undefined;
  #next = Infinity;

  constructor(
    private readonly clock: Clock,
    private readonly all: () => Iterable<C>,
    private readonly overdue: (call: C) => void,
  ) {}

  /** A call has this deadline from now on. */
  set(deadline: number): void {
    if (deadline >= this.#next) return;
    this.#timer?.cancel();
    this.#arm(deadline);
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#next = Infinity;
  }

  #arm(deadline: number): void {
    this.#next = deadline;
    if (deadline === Infinity) return;
    const delayMs = Math.min(Math.max(deadline - this.clock.now(), TOGETHER_MS), 0x7fff_ffff);
    this.#timer = this.clock.setTimer(() => void this.#look(), delayMs, 'background');
  }

  /** No timer stands while it polls, but for what begins meanwhile. */
  async #look(): Promise<void> {
    const now = this.clock.now();
    this.end();
    await this.clock.untilSocketsPolled();
    this.end();
    let next = Infinity;
    const late: C[] = [];
    for (const call of this.all()) {
      if (call.deadline <= now) late.push(call);
      else if (call.deadline < next) next = call.deadline;
    }
    // Before anybody is told: whoever is may call again at once, with an earlier deadline.
    this.#arm(next);
    for (const call of late) this.overdue(call);
  }
}
