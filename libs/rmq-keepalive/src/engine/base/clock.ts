/** Time as a dependency: everything in the engine that waits or measures asks a `Clock`, so that specs can hand in a hand-moved one. */
export interface Clock {
  /** Monotonic milliseconds; the origin is arbitrary. For durations and deadlines. */
  now(): number;
  /** Milliseconds since the epoch. Only for people: log lines, status, headers. */
  wallClock(): number;
  /**
   * Calls `callback` once after `delayMs`, which may be longer than Node's timers can; `Infinity`: never. A `background`
   * timer does not keep the process alive.
   */
  setTimer(callback: () => void, delayMs: number, kind?: 'foreground' | 'background'): Timer;
  /** Resolves after the event loop has polled its sockets at least once. */
  untilSocketsPolled(): Promise<void>;
}

export interface Timer {
  cancel(): void;
}

/** The longest delay of a Node timer, 24.8 days: Node calls back at once when it shall wait longer. */
export const MAX_TIMER_MS = 0x7fff_ffff;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallClock: () => Date.now(),
  setTimer(callback, delayMs, kind = 'foreground') {
    let handle: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      handle =
        leftMs > MAX_TIMER_MS
          ? setTimeout(() => arm(leftMs - MAX_TIMER_MS), MAX_TIMER_MS)
          : setTimeout(callback, leftMs);
      if (kind === 'background') handle.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  async untilSocketsPolled() {
    // An immediate runs right after the poll phase, so the second one has a whole poll phase behind it.
    for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  },
};

/** A timer that is later than this says less about those who let us wait than about us. */
const LATE_MS = 250;

/**
 * A timer for judging others. When our event loop was blocked, or the process stopped, their answer may lie unread in a
 * socket, and timers come before sockets at the wake-up. So the time by which the timer is late is given to them again.
 */
export function setFairTimer(clock: Clock, callback: () => void, delayMs: number): Timer {
  let timer: Timer;
  const arm = (waitMs: number): void => {
    const dueAt = clock.now() + waitMs;
    timer = clock.setTimer(() => {
      const lateMs = clock.now() - dueAt;
      if (lateMs > LATE_MS) arm(Math.min(lateMs, delayMs));
      else callback();
    }, waitMs);
  };
  arm(delayMs);
  return { cancel: () => timer.cancel() };
}

/**
 * Rejects with `timeoutError()` unless `work` settles within `timeoutMs`, stalls of ours not counted. The work itself goes
 * on; its owner must end it.
 */
export async function withDeadline<T>(
  clock: Clock,
  work: Promise<T>,
  timeoutMs: number,
  timeoutError: () => Error,
): Promise<T> {
  let timer: Timer | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setFairTimer(clock, () => reject(timeoutError()), timeoutMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    timer?.cancel();
  }
}
