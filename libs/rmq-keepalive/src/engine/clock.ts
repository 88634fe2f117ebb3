/** Time as a dependency: everything in the engine that waits or measures asks a `Clock`, so that specs can hand in a hand-moved one. */
export interface Clock {
  /** Monotonic milliseconds; the origin is arbitrary. For durations and deadlines. */
  now(): number;
  /** Milliseconds since the epoch. Only for people: log lines, status, headers. */
  wallClock(): number;
  /** Calls `callback` once after `delayMs`. A `background` timer does not keep the process alive. */
  setTimer(callback: () => void, delayMs: number, kind?: 'foreground' | 'background'): Timer;
  /** Resolves after the event loop has polled its sockets at least once. */
  untilSocketsPolled(): Promise<void>;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallClock: () => Date.now(),
  setTimer(callback, delayMs, kind = 'foreground') {
    const handle = setTimeout(callback, delayMs);
    if (kind === 'background') handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  async untilSocketsPolled() {
    // An immediate runs right after the poll phase, so the second one has a whole poll phase behind it.
    for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  },
};

/** Rejects with `timeoutError()` unless `work` settles within `timeoutMs`. The work itself goes on; its owner must end it. */
export async function withDeadline<T>(
  clock: Clock,
  work: Promise<T>,
  timeoutMs: number,
  timeoutError: () => Error,
): Promise<T> {
  let timer: Timer | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = clock.setTimer(() => reject(timeoutError()), timeoutMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    timer?.cancel();
  }
}
