/** Asks the user's `retry.on`, which cannot break us: without a clear answer there is no other attempt. */
import { types } from 'node:util';
import { asError } from '../../errors/reasons.js';
import type { RetryPolicy } from '../options/retry-policy.js';

export function worthAnotherAttempt(policy: RetryPolicy, error: unknown, failed: (cause: Error) => void): boolean {
  let answer: unknown;
  try {
    answer = policy.on(error);
  } catch (thrown) {
    failed(asError(thrown));
    return false;
  }
  if (!types.isPromise(answer)) return answer !== false;
  // It may reject, with nobody listening.
  void answer.catch(() => undefined);
  failed(new TypeError('it answered with a promise, and has to answer at once'));
  return false;
}
