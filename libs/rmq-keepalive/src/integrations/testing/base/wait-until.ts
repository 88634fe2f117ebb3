/** Asks again and again until a fact holds, or a deadline has passed: the one loop of tools and tests. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface WaitOptions {
  timeoutMs: number;
  everyMs: number;
}

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
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    // The deadline first: a machine that stood still between two questions is asked once more.
    const isLastTime = performance.now() >= deadline;
    const word = await ask(probe);
    if (isLastTime || isEnough(word)) return word;
    await sleep(everyMs);
  }
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
