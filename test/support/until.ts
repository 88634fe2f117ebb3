/** Waits for a fact, never for time: asks until the answer is truthy, and says what was waited for when it never is. */
import { inspect, types } from 'node:util';

export interface UntilOptions {
  /** How long to keep asking, in milliseconds. @default 10000 */
  timeoutMs?: number;
  /** Pause between two questions, in milliseconds. @default 20 */
  everyMs?: number;
}

export type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

/**
 * Resolves with the first truthy answer of `probe`. Rejects after the deadline, at which it asks once more, with a sentence
 * that names `what` and the last answer. A probe that throws has given no answer yet; its error is named at the end.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<Truthy<T>> {
  const { timeoutMs = 10_000, everyMs = 20 } = options;
  const deadline = performance.now() + timeoutMs;
  let last: { answer: T } | { error: unknown };
  for (;;) {
    // The deadline first: a machine that stood still between two questions has not answered the one that is due then.
    const isLastTime = performance.now() >= deadline;
    last = await ask(probe);
    if ('answer' in last && last.answer) return last.answer as Truthy<T>;
    if (isLastTime) break;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const state =
    'answer' in last ? `the last answer was ${show(last.answer)}` : `the last probe threw ${show(last.error)}`;
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}; ${state}`, {
    cause: 'error' in last ? last.error : undefined,
  });
}

async function ask<T>(probe: () => T | Promise<T>): Promise<{ answer: T } | { error: unknown }> {
  try {
    return { answer: await probe() };
  } catch (error) {
    return { error };
  }
}

function show(value: unknown): string {
  if (types.isNativeError(value)) return `${value.name}: ${value.message}`;
  return inspect(value, { depth: 3, breakLength: Infinity });
}
