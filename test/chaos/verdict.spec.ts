import { describe, expect, it } from '@jest/globals';
import type { Copy, Entry } from '../../tools/chaos/ledger.js';
import { DELETED_QUEUE, QUEUE } from '../../tools/chaos/protocol.js';
import { type Evidence, isFailed, judge, type MustBeZero } from '../../tools/chaos/verdict.js';

const published = (id: number, at = id): Entry => ({ what: 'published', id, at });
const confirmed = (id: number, at = id + 0.5): Entry => ({ what: 'confirmed', id, at });
const handled = (id: number, queue: string, copy: Copy = 'unannounced', at = id + 0.4): Entry => ({
  what: 'handled',
  id,
  queue,
  copy,
  at,
});
const onBoth = (id: number): Entry[] => [handled(id, QUEUE), handled(id, DELETED_QUEUE)];

/** Messages 1 to 3, all well. */
const SOUND: Evidence = {
  produced: [1, 2, 3].flatMap((id) => [published(id), confirmed(id)]),
  consumed: [1, 2, 3].flatMap(onBoth),
  deletions: [],
  consumers: { [QUEUE]: 1, [DELETED_QUEUE]: 1 },
  unexpectedEnds: [],
};
const without = (id: number, queue: string): Entry[] =>
  SOUND.consumed.filter((entry) => !(entry.what === 'handled' && entry.id === id && entry.queue === queue));

/** What is not zero. */
function broken(evidence: Partial<Evidence>): Partial<MustBeZero> {
  const verdict = judge({ ...SOUND, ...evidence });
  const counts = Object.entries(verdict.mustBeZero).filter(([, count]) => count !== 0);
  expect(isFailed(verdict)).toBe(counts.length > 0);
  return Object.fromEntries(counts);
}

describe('the verdict of a chaos run', () => {
  it('finds nothing when every promise was kept', () => {
    expect(broken({})).toEqual({});
    expect(judge(SOUND)).toMatchObject({ published: 3, confirmed: 3, handled: 3, redelivered: 0, republished: 0 });
  });

  it('finds a confirmed message that never came out of its queue', () => {
    expect(broken({ consumed: without(2, QUEUE) })).toEqual({ confirmedButLost: 1 });
    expect(judge({ ...SOUND, consumed: without(2, QUEUE) }).examples).toEqual({
      confirmedButLost: [`2 of ${QUEUE}`],
    });
  });

  it('does not miss a message that was never confirmed, if the caller was told', () => {
    const produced = [...SOUND.produced, published(4), { what: 'rejected', id: 4, at: 5, code: 'RMQ_X' } as const];
    expect(broken({ produced })).toEqual({});
    expect(judge({ ...SOUND, produced }).rejected).toEqual({ RMQ_X: 1 });
  });

  it('finds a promise that was left pending', () => {
    expect(broken({ produced: [...SOUND.produced, published(4)] })).toEqual({ promisesLeftPending: 1 });
  });

  it('takes duplicates that announce themselves, in whatever order they are handled', () => {
    const consumed = [handled(2, QUEUE, 'republished'), ...SOUND.consumed, handled(2, QUEUE, 'redelivered')];
    expect(broken({ consumed })).toEqual({});
    expect(judge({ ...SOUND, consumed })).toMatchObject({ redelivered: 1, republished: 1 });
  });

  it('takes the only copy for the original, whatever it announces', () => {
    const consumed = [...without(2, QUEUE), handled(2, QUEUE, 'redelivered')];
    expect(judge({ ...SOUND, consumed })).toMatchObject({ redelivered: 0, handled: 3 });
  });

  it('finds a duplicate that says nothing', () => {
    expect(broken({ consumed: [...SOUND.consumed, handled(2, QUEUE)] })).toEqual({ unexplainedDuplicates: 1 });
  });

  it('finds missing and surplus consumers, unexpected ends, dead letters and strangers', () => {
    const consumers = { [QUEUE]: 0, [DELETED_QUEUE]: 3 };
    expect(broken({ consumers })).toEqual({ consumersMissing: 1, consumersTooMany: 2 });
    expect(broken({ unexpectedEnds: ['the producer ended with exit code 1'] })).toEqual({ unexpectedEnds: 1 });
    const deadLetter = { what: 'dead-lettered', at: 1, subscription: QUEUE, reason: 'handler-failed' } as const;
    expect(broken({ consumed: [...SOUND.consumed, deadLetter] })).toEqual({ deadLettered: 1 });
    expect(broken({ consumed: [...SOUND.consumed, handled(9, QUEUE)] })).toEqual({ handledButNeverPublished: 1 });
  });

  describe('on a queue that was deleted', () => {
    const deletion = { queue: DELETED_QUEUE, deletedAt: 2.6, messages: 1, backAt: 2.8 };
    const unhandled = (...ids: number[]): Entry[] =>
      SOUND.consumed.filter(
        (entry) => !(entry.what === 'handled' && entry.queue === DELETED_QUEUE && ids.includes(entry.id)),
      );

    it('takes as many for deleted as the broker counted in it', () => {
      expect(broken({ deletions: [deletion], consumed: unhandled(2) })).toEqual({});
      expect(judge({ ...SOUND, deletions: [deletion], consumed: unhandled(2) }).deletedOnPurpose).toBe(1);
    });

    it('finds the one more that the broker did not count', () => {
      expect(broken({ deletions: [deletion], consumed: unhandled(1, 2) })).toEqual({ confirmedButLost: 1 });
    });

    it('takes those that were published before the queue was back', () => {
      const meanwhile = [published(2.7, 2.7), confirmed(2.7, 2.9)];
      const produced = [...SOUND.produced, ...meanwhile];
      const consumed = [...unhandled(2), handled(2.7, QUEUE)];
      expect(broken({ deletions: [deletion], produced, consumed })).toEqual({});
    });

    it('finds one that was published when the queue was back', () => {
      expect(broken({ deletions: [deletion], consumed: unhandled(3) })).toEqual({ confirmedButLost: 1 });
    });

    it('excuses nothing on the other queue', () => {
      expect(broken({ deletions: [deletion], consumed: without(2, QUEUE) })).toEqual({ confirmedButLost: 1 });
    });
  });
});
