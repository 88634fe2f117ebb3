/** Waits for a fact, never for time, and says what was waited for when it never comes; or that a fact goes on to hold. */
import { inspect, types } from 'node:util';
import { askUntil, isTrue, type LastWord } from '#testing/base/wait-until.js';

export interface UntilOptions {
  /** How long to keep asking, in milliseconds. @default 10000 */
  timeoutMs?: number;
  /** Pause between two questions, in milliseconds. @default from 20 to 100, the longer it waits */
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
  const { timeoutMs = 10_000, everyMs } = options;
  const last = await askUntil(probe, isTrue, { timeoutMs, everyMs });
  if (isTrue(last)) return last.answer as Truthy<T>;
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}; ${described(last)}`, causeOf(last));
}

/**
 * Resolves when `probe` was truthy each time that it was asked, for `forMs` milliseconds and once more at their end. Rejects at
 * the first answer that is not, or error, with a sentence that names `what`. For what must not happen: a time that is too short
 * for the machine overlooks a fault, and never reports one that is none.
 */
export async function staysTrue(
  what: string,
  probe: () => unknown,
  forMs: number,
  { everyMs = 20 }: Pick<UntilOptions, 'everyMs'> = {},
): Promise<void> {
  const startedAt = performance.now();
  const last = await askUntil(probe, (word) => !isTrue(word), { timeoutMs: forMs, everyMs });
  if (isTrue(last)) return;
  const afterMs = Math.round(performance.now() - startedAt);
  throw new Error(
    `It did not stay true for ${forMs} ms that ${what}; ${described(last)} after ${afterMs} ms`,
    causeOf(last),
  );
}

function described(last: LastWord<unknown>): string {
  return 'answer' in last ? `the last answer was ${show(last.answer)}` : `the last probe threw ${show(last.error)}`;
}

function causeOf(last: LastWord<unknown>): ErrorOptions {
  return 'error' in last ? { cause: last.error } : {};
}

function show(value: unknown): string {
  if (types.isNativeError(value)) return `${value.name}: ${value.message}`;
  return inspect(value, { depth: 3, breakLength: Infinity });
}
