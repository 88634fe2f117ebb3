/**
 * Deliveries that cannot be moved to where they have to go: they are held, unsettled, and stand in line for another try.
 *
 * Danger: they fill the prefetch, and then nothing is consumed any more, while every link and consumer looks well. And each
 * try may cost a channel (403) and a line in two logs; twenty deliveries that try by themselves cost twenty times as much.
 * Choice: one line for each destination. It is told when it begins and when it is over; in between one delivery tries at a
 * time, after a pause that grows. When that one gets through, all try.
 * A delivery may be its own obstacle (too large for that queue, say). So the turn goes round, who has not tried comes first,
 * and a new one has a try at once unless several have failed in a row.
 */
import type { Clock, Timer } from '../../base/clock.js';
import type { Delivery } from '../delivery/delivery.js';

/** What stands in one line, and why. */
export interface StuckLine {
  /** The queue that they are for. */
  readonly to: string;
  readonly deliveries: number;
  /** Epoch ms. */
  readonly since: number;
  /** Why the last try failed. */
  readonly cause: Error;
}

interface StuckHears {
  began(to: string, cause: Error): void;
  /** None is held any more: so many of them were moved, the others went back to their queue. */
  over(to: string, moved: number, afterMs: number): void;
}

type Turn = 'try' | 'stop';

interface Held {
  readonly hasTried: boolean;
  /** While it waits. */
  wake: ((turn: Turn) => void) | undefined;
}

interface Line {
  readonly to: string;
  readonly beganAt: number;
  readonly since: number;
  cause: Error;
  /** Those that wait longest come first. */
  readonly held: Map<Delivery, Held>;
  failuresInARow: number;
  moved: number;
  /** Before the next try but one. */
  pauseMs: number;
  pause: { readonly timer: Timer; readonly endsAt: number } | undefined;
}

const PAUSE_MS = { first: 1_000, max: 30_000 };
/** Fewer may be the fault of these very messages. */
const FAILURES_OF_ALL = 3;

export class StuckDeliveries {
  readonly #lines = new Map<string, Line>();
  #isStopped = false;

  constructor(
    private readonly clock: Clock,
    private readonly hears: StuckHears,
  ) {}

  /** What comes again by itself, its channel gone, counts no longer. */
  get lines(): StuckLine[] {
    return [...this.#lines.values()].flatMap(({ to, since, cause, held }) => {
      const deliveries = [...held.keys()].filter(({ isLive }) => isLive).length;
      return deliveries === 0 ? [] : [{ to, deliveries, since, cause }];
    });
  }

  /** Resolves with whether to try, when it may: at once if nothing is known to be in the way. */
  turn(to: string, delivery: Delivery): Promise<Turn> {
    const line = this.#lines.get(to);
    const held = line?.held.get(delivery);
    if (line === undefined || (held === undefined && line.failuresInARow < FAILURES_OF_ALL))
      return Promise.resolve('try');
    if (this.#isStopped) return Promise.resolve('stop');
    return new Promise((wake) => line.held.set(delivery, { hasTried: held?.hasTried ?? false, wake }));
  }

  /** @returns when the next one of this line tries, in ms */
  failed(to: string, delivery: Delivery, cause: Error): number {
    const line = this.#lines.get(to) ?? this.#begin(to, cause);
    line.cause = cause;
    line.failuresInARow += 1;
    line.held.delete(delivery);
    line.held.set(delivery, { hasTried: true, wake: undefined });
    return this.#pause(line);
  }

  moved(to: string, delivery: Delivery): void {
    const line = this.#lines.get(to);
    if (line === undefined) return;
    line.failuresInARow = 0;
    // One that was never held says nothing about those that are.
    if (!line.held.delete(delivery)) return;
    line.moved += 1;
    line.pauseMs = PAUSE_MS.first;
    this.#endIfEmpty(line);
    wakeAll(line, 'try');
  }

  /** It was not moved, and is held no longer. Idempotent. */
  left(to: string, delivery: Delivery): void {
    const line = this.#lines.get(to);
    if (line === undefined || !line.held.delete(delivery)) return;
    this.#endIfEmpty(line);
    // It may have been its turn.
    if (line.held.size > 0) this.#pause(line);
  }

  /** Its channel is gone, or it was given back: there is nothing to wait for. */
  goesBack(delivery: Delivery): void {
    for (const { held } of this.#lines.values()) wake(held.get(delivery), 'stop');
  }

  /** For good: nobody waits any more. */
  end(): void {
    this.#isStopped = true;
    for (const line of this.#lines.values()) {
      line.pause?.timer.cancel();
      wakeAll(line, 'stop');
    }
  }

  #begin(to: string, cause: Error): Line {
    const line: Line = {
      to,
      beganAt: this.clock.now(),
      since: this.clock.wallClock(),
      cause,
      held: new Map(),
      failuresInARow: 0,
      moved: 0,
      pauseMs: PAUSE_MS.first,
      pause: undefined,
    };
    this.#lines.set(to, line);
    this.hears.began(to, cause);
    return line;
  }

  #pause(line: Line): number {
    const now = this.clock.now();
    if (line.pause !== undefined) return Math.max(0, line.pause.endsAt - now);
    const { pauseMs } = line;
    if (this.#isStopped) return pauseMs;
    line.pauseMs = Math.min(pauseMs * 2, PAUSE_MS.max);
    const timer = this.clock.setTimer(() => {
      line.pause = undefined;
      wakeNext(line);
    }, pauseMs);
    line.pause = { timer, endsAt: now + pauseMs };
    return pauseMs;
  }

  #endIfEmpty(line: Line): void {
    if (line.held.size > 0) return;
    line.pause?.timer.cancel();
    this.#lines.delete(line.to);
    this.hears.over(line.to, line.moved, this.clock.now() - line.beganAt);
  }
}

function wakeNext({ held }: Line): void {
  const waiting = [...held.values()].filter(({ wake: sleeper }) => sleeper !== undefined);
  wake(waiting.find(({ hasTried }) => !hasTried) ?? waiting[0], 'try');
}

function wakeAll({ held }: Line, turn: Turn): void {
  for (const one of held.values()) wake(one, turn);
}

/** Whoever tries is not woken a second time. */
function wake(one: Held | undefined, turn: Turn): void {
  const sleeper = one?.wake;
  if (one !== undefined) one.wake = undefined;
  sleeper?.(turn);
}
