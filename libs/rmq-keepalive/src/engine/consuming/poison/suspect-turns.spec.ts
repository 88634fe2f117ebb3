import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../../test/support/manual-clock.js';
import { SuspectTurns } from './suspect-turns.js';

const GATHERED_MS = 100;

function lane(random = () => 0) {
  const clock = new ManualClock();
  const suspects = new SuspectTurns(clock, random);
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const outcomes = new Map<string, unknown>();
  return {
    clock,
    suspects,
    begun,
    outcomes,
    arrives(id: string): void {
      void suspects
        .run(() => {
          begun.push(id);
          return new Promise<void>((resolve, reject) => ends.set(id, (e) => (e === undefined ? resolve() : reject(e))));
        })
        .then(
          (handled) => outcomes.set(id, handled),
          (thrown) => outcomes.set(id, thrown),
        );
    },
    async ends(id: string, error?: Error): Promise<void> {
      ends.get(id)?.(error);
      await clock.advance(0);
    },
  };
}

describe('when several suspects are in hand', () => {
  it('lets one begin when the burst has arrived, and each other one when the one before has ended, also by an error', async () => {
    const { arrives, begun, ends, clock, outcomes } = lane();
    arrives('a');
    arrives('b');
    await clock.advance(GATHERED_MS - 1);
    expect(begun).toEqual([]);
    arrives('c');
    await clock.advance(1);
    expect(begun).toEqual(['a']);
    await ends('a', new Error('failed'));
    expect(begun).toEqual(['a', 'b']);
    await ends('b');
    await ends('c');
    expect(outcomes).toEqual(
      new Map<string, unknown>([
        ['a', new Error('failed')],
        ['b', true],
        ['c', true],
      ]),
    );
    arrives('d');
    await clock.advance(GATHERED_MS);
    expect(begun.at(-1)).toBe('d');
  });

  it('takes them in random order', async () => {
    const { arrives, begun, ends, clock } = lane(() => 0.99);
    for (const id of ['a', 'b', 'c']) arrives(id);
    await clock.advance(GATHERED_MS);
    await ends('c');
    await ends('b');
    expect(begun).toEqual(['c', 'b', 'a']);
  });

  it('lets nobody begin once it is stopped; who runs may end', async () => {
    const { arrives, begun, ends, clock, outcomes, suspects } = lane();
    for (const id of ['a', 'b']) arrives(id);
    await clock.advance(GATHERED_MS);
    suspects.end();
    await ends('a');
    arrives('c');
    await clock.advance(GATHERED_MS);
    expect(begun).toEqual(['a']);
    expect(outcomes).toEqual(
      new Map([
        ['b', false],
        ['a', true],
        ['c', false],
      ]),
    );
    expect(clock.armedTimers()).toBe(0);
  });
});
