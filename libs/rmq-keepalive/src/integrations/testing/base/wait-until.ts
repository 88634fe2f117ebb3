/** Asks again and again until a fact holds, or a deadline has passed: the one loop of tools and tests. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface WaitOptions {
  timeoutMs: number;
  /** Left out: the longer it waits, the longer is the pause, from 20 ms to 100. It costs a twentieth of the time, and asks seldom. */
  everyMs?: number | undefined;
}

const SHORTEST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 100;
const PAUSE_SHARE = 0.05;

/** What a probe said last: an answer, or the error that it threw. */
export type LastWord<T> = { readonly answer: T } | { readonly error: unknown };

export function isTrue<T>(word: LastWord<T>): word is { readonly answer: T } {
  return 'answer' in word && Boolean(word.answer);
}

/** Whether `probe` came true in time. A probe that throws has not come true. */
export async function waitUntil(probe: () => unknown, options: WaitOptions): Promise<boolean> {
  return isTrue(await askUntil(probe, isTrue, options));
}

/** Asks until `isEnough`, and returns the last word; at the deadline it asks once more. */
export async function askUntil<T>(
  probe: () => T | Promise<T>,
  isEnough: (word: LastWord<T>) => boolean,
  { timeoutMs, everyMs }: WaitOptions,
): Promise<LastWord<T>> {
  const startedAt = performance.now();
  const deadline = startedAt + timeoutMs;
  for (;;) {
    // The deadline first: a machine that stood still between two questions is asked once more.
    const isLastTime = performance.now() >= deadline;
    const word = await ask(probe);
    if (isLastTime || isEnough(word)) return word;
    await sleep(everyMs ?? pauseAfter(performance.now() - startedAt));
  }
}

function pauseAfter(waitedMs: number): number {
  return Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, waitedMs * PAUSE_SHARE));
}

async function ask<T>(probe: () => T | Promise<T>): Promise<LastWord<T>> {
  try {
    return { answer: await probe() };
  } catch (error) {
    return { error };
  }
}

/** Whether something on loopback accepts a TCP connection on this port. */
export function acceptsTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const settle = (accepts: boolean) => {
      socket.destroy();
      resolve(accepts);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
