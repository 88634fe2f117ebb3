/**
 * Why our event loop stood still: because a handler blocked it, or because the whole process did not run.
 *
 * Need: the two look the same to a late timer, and the cures have nothing in common. Somebody who is told of a blocked event
 * loop looks for slow code; a container that was paused, a process that got SIGSTOP or no CPU has none.
 * Signs. A loop that waits for its sockets is idle by libuv's own account (`performance.eventLoopUtilization()`): when a
 * timer is late and the loop was idle all the while, nobody blocked it. A loop that computes spends CPU time
 * (`process.cpuUsage()`). A loop that waits in a system call (`execSync`, `Atomics.wait`) is neither idle nor busy; so is one
 * that was stopped in the middle of its work. The heartbeat thread, where there is one, tells the last two apart: it goes on
 * in the first case only. Without it that is not known, and we say so.
 * Measured with Node 20: 2.5 s of SIGSTOP, 2,584 of 2,584 ms idle; 1.5 s of `execSync`, 104 ms idle and 5 ms of CPU.
 */
export type StallKind = 'loop-blocked' | 'process-stopped' | 'unknown';

/** What the process has done since its start, in milliseconds. */
export interface RunTimes {
  /** The event loop waited for sockets and timers. */
  readonly idleMs: number;
  /** CPU time of all threads. */
  readonly cpuMs: number;
}

/** A timer that was late, and what the process did meanwhile. */
export interface Stall extends RunTimes {
  readonly forMs: number;
}

const MOST_OF_IT = 1 / 2;

export function processRunTimes(): RunTimes {
  const { user, system } = process.cpuUsage();
  return { idleMs: performance.eventLoopUtilization().idle, cpuMs: (user + system) / 1_000 };
}

/** @param waitedMs for which the loop would have been idle anyway */
export function stallBetween(before: RunTimes, after: RunTimes, forMs: number, waitedMs: number): Stall {
  return {
    forMs,
    idleMs: Math.max(0, after.idleMs - before.idleMs - waitedMs),
    cpuMs: after.cpuMs - before.cpuMs,
  };
}

/** @param threadWentOn of the heartbeat thread; `undefined` without one */
export function stallKind({ forMs, idleMs, cpuMs }: Stall, threadWentOn: boolean | undefined): StallKind {
  if (threadWentOn === true) return 'loop-blocked';
  if (idleMs >= forMs * MOST_OF_IT) return 'process-stopped';
  if (cpuMs >= forMs * MOST_OF_IT) return 'loop-blocked';
  return threadWentOn === undefined ? 'unknown' : 'process-stopped';
}
