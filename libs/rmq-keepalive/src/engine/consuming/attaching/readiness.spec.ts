import { describe, expect, it } from '@jest/globals';
import { answerOf, Readiness } from './readiness.js';
import type { SubscriptionState } from './subscription-state.js';

const refused = new Error('refused');
const missing = { cause: refused, since: 0 };
const WAITING: SubscriptionState = { name: 'waiting', missing: undefined };
const ATTACHING = { name: 'attaching', missing: undefined } as SubscriptionState;
const SILENT = { name: 'attaching', missing } as SubscriptionState;
const ATTACHED = { name: 'attached' } as SubscriptionState;
const MISSING: SubscriptionState = { name: 'missing', missing };
const LEAVING: SubscriptionState = { name: 'leaving' };

const kind = (from: SubscriptionState, to: SubscriptionState): string => answerOf('subscription "a"', from, to).kind;
const outcome = (promise: Promise<void>): Promise<unknown> =>
  promise.then(
    () => 'attached',
    (thrown: Error) => thrown.message,
  );

describe('the answer to those who wait for a consumer', () => {
  it('is given by the step that decides', () => {
    expect(kind(ATTACHING, ATTACHED)).toBe('attached');
    expect(kind(ATTACHING, MISSING)).toBe('no');
    expect(kind(WAITING, { name: 'left-out', missing })).toBe('no');
    expect(kind(ATTACHED, LEAVING)).toBe('no');
    for (const to of [WAITING, ATTACHING, { name: 'paused' } as const]) expect(kind(ATTACHED, to)).toBe('none-yet');
  });

  it('is no when the broker does not answer the attempt, and none yet when an attempt begins after a refusal', () => {
    expect(kind(ATTACHING, SILENT)).toBe('no');
    expect(kind(MISSING, SILENT)).toBe('none-yet');
  });

  it('reaches those who asked before, and those who ask later', async () => {
    const readiness = new Readiness('subscription "a"');
    const early = readiness.promise;
    readiness.step(WAITING, ATTACHING);
    readiness.step(ATTACHING, ATTACHED);
    expect(await Promise.all([early, readiness.promise].map(outcome))).toEqual(['attached', 'attached']);
    readiness.step(ATTACHED, LEAVING);
    expect(await outcome(readiness.promise)).toBe('Subscription "a" has ended');
    expect(await outcome(early)).toBe('attached');
  });

  it('waits anew after a refusal, once there is another attempt', async () => {
    const readiness = new Readiness('subscription "a"');
    readiness.step(ATTACHING, MISSING);
    expect(await outcome(readiness.promise)).toBe('refused');
    readiness.step(MISSING, SILENT);
    const again = readiness.promise;
    readiness.step(SILENT, ATTACHED);
    expect(await outcome(again)).toBe('attached');
  });

  it('harms nobody when it is no, and nobody reads it', async () => {
    const unread: unknown[] = [];
    const note = (thrown: unknown): void => void unread.push(thrown);
    process.on('unhandledRejection', note);
    const readiness = new Readiness('subscription "a"');
    void readiness.promise;
    readiness.step(ATTACHING, MISSING);
    void readiness.promise;
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect(unread).toEqual([]);
  });
});
