/**
 * A `Clock` that moves only when a spec moves it. `advance` is ordinary time; `block` is time that passes while the event
 * loop is blocked, so that every timer that was due in it fires late, at the next `advance`.
 */
import type { Clock, Timer } from '#engine/base/clock.js';

interface ArmedTimer {
  readonly at: number;
  readonly callback: () => void;
  readonly kind: 'foreground' | 'background';
}

export class ManualClock implements Clock {
  private readonly timers = new Set<ArmedTimer>();
  private heldPolls: (() => void)[] | undefined;
  private beforePoll: () => void = () => {};

  constructor(private instant = 1_000_000) {}

  now(): number {
    return this.instant;
  }

  wallClock(): number {
    return Date.UTC(2024, 0, 1) + this.instant;
  }

  setTimer(callback: () => void, delayMs: number, kind: 'foreground' | 'background' = 'foreground'): Timer {
    const timer: ArmedTimer = { at: this.instant + delayMs, callback, kind };
    this.timers.add(timer);
    return { cancel: () => void this.timers.delete(timer) };
  }

  async untilSocketsPolled(): Promise<void> {
    const { heldPolls } = this;
    if (heldPolls !== undefined) await new Promise<void>((resolve) => heldPolls.push(resolve));
    this.beforePoll();
  }

  /** Moves time on, firing every timer at its instant, in order; what they start is given its turns of the event loop. */
  async advance(ms: number): Promise<void> {
    const end = this.instant + ms;
    await settled();
    for (let next = this.nextTimer(end); next !== undefined; next = this.nextTimer(end)) {
      this.timers.delete(next);
      this.instant = Math.max(this.instant, next.at);
      next.callback();
      await settled();
    }
    this.instant = end;
  }

  /** Lets time pass with the event loop blocked: no timer fires before the next `advance`. */
  block(ms: number): void {
    this.instant += ms;
  }

  /** What `untilSocketsPolled` finds in the sockets: `read` runs each time, just before it resolves. */
  onSocketPoll(read: () => void): void {
    this.beforePoll = read;
  }

  /** From here on `untilSocketsPolled` stays pending, until the returned function lets it go on. */
  holdSocketPolls(): () => Promise<void> {
    const held: (() => void)[] = [];
    this.heldPolls = held;
    return async () => {
      this.heldPolls = undefined;
      for (const resume of held) resume();
      await settled();
    };
  }

  /** Timers that are armed; of one kind if asked. */
  armedTimers(kind?: 'foreground' | 'background'): number {
    return [...this.timers].filter((timer) => kind === undefined || timer.kind === kind).length;
  }

  private nextTimer(end: number): ArmedTimer | undefined {
    // A Set keeps insertion order, so of two timers for the same instant the older one is first.
    let next: ArmedTimer | undefined;
    for (const timer of this.timers) if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
    return next;
  }
}

/** Real turns of the event loop, so that promise chains started by a timer come to rest. */
async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
