import { describe, expect, it } from '@jest/globals';
import type { Entry } from '../../tools/chaos/ledger.js';
import { DELETED_QUEUE, QUEUE } from '../../tools/chaos/protocol.js';
import { areVillainsFailed, judgeVillains, type PastVillain } from '../../tools/chaos/villain-verdict.js';

const SECOND = 1_000;
const villain: PastVillain = {
  name: 'full dead-letter queue',
  startedAt: 10 * SECOND,
  endedAt: 20 * SECOND,
  isNamedBy: (named) => named === 'failing: stuck',
};

/** Ten messages a second for twenty seconds, handled at once from both queues, but for those that `isKept` leaves waiting. */
function handledFromBoth(isKept: (id: number) => boolean = () => true): Entry[] {
  const ids = Array.from({ length: 200 }, (_, id) => id);
  return ids
    .filter(isKept)
    .flatMap((id): Entry[] =>
      [QUEUE, DELETED_QUEUE].map((queue) => ({ what: 'handled', id, at: id * 100 + 5, queue, copy: 'unannounced' })),
    );
}

const named = (at: number, ...names: string[]): Entry => ({ what: 'named', at, named: names });

describe('the verdict on villains', () => {
  it('is well when each was named while it acted, and the innocent ones kept their rate', () => {
    const consumed = handledFromBoth();
    const verdict = judgeVillains([villain], {
      accidents: [],
      consumed: [named(11 * SECOND, 'deliveries-stuck', 'failing: stuck'), ...consumed],
      from: 0,
    });
    expect(verdict.namedAfterMs).toEqual({ 'full dead-letter queue': SECOND });
    expect(verdict.share[QUEUE]).toBeCloseTo(1, 1);
    expect(areVillainsFailed(verdict)).toBe(false);
  });

  it.each([
    ['named by nobody', []],
    ['named before it acted', [named(9 * SECOND, 'failing: stuck')]],
    ['named when it was over', [named(21 * SECOND, 'failing: stuck')]],
    ['confused with another', [named(11 * SECOND, 'orders: stuck')]],
  ])('fails when one is %s', (_, names) => {
    const consumed = handledFromBoth();
    const verdict = judgeVillains([villain], { accidents: [], consumed: [...names, ...consumed], from: 0 });
    expect(verdict.namedAfterMs).toEqual({ 'full dead-letter queue': null });
    expect(areVillainsFailed(verdict)).toBe(true);
  });

  it('fails when an innocent subscription lost more than a twentieth of its rate', () => {
    const isKept = (id: number): boolean => id < 100 || id % 10 !== 0;
    const consumed = handledFromBoth(isKept);
    const verdict = judgeVillains([villain], {
      accidents: [],
      consumed: [named(11 * SECOND, 'failing: stuck'), ...consumed],
      from: 0,
    });
    expect(verdict.share[QUEUE]).toBeCloseTo(0.9, 1);
    expect(areVillainsFailed(verdict)).toBe(true);
  });

  it('counts quiet seconds only: what an accident holds up is no fault of a villain', () => {
    const isKept = (id: number): boolean => id < 120 || id >= 170;
    const accidents = [{ startedAt: 12 * SECOND, wellAt: 15 * SECOND }];
    const consumed = [named(11 * SECOND, 'failing: stuck'), ...handledFromBoth(isKept)];
    const verdict = judgeVillains([villain], { accidents, consumed, from: 0 });
    expect(verdict.share[QUEUE]).toBeCloseTo(1, 1);
    expect(areVillainsFailed(verdict)).toBe(false);
  });

  it('fails when none of them could act', () => {
    const consumed = handledFromBoth();
    const verdict = judgeVillains([{ ...villain, missed: 'the broker was down' }], {
      accidents: [],
      consumed,
      from: 0,
    });
    expect(areVillainsFailed(verdict)).toBe(true);
  });
});
