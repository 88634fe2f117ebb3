import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../../test/support/manual-clock.js';
import { Batcher } from './batcher.js';

function batcherOf(size: number, waitMs: number) {
  const clock = new ManualClock();
  const batches: string[][] = [];
  return { clock, batches, batcher: new Batcher<string>({ size, waitMs }, clock, (items) => batches.push(items)) };
}

describe('the batcher', () => {
  it('completes a batch when it is full, and starts the next one', () => {
    const { clock, batches, batcher } = batcherOf(2, 100);
    for (const item of ['a', 'b', 'c', 'd', 'e']) batcher.add(item);
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    expect(clock.armedTimers()).toBe(1);
  });

  it('lets the first of a batch wait no longer than it said, however often others come', async () => {
    const { clock, batches, batcher } = batcherOf(10, 100);
    batcher.add('a');
    await clock.advance(60);
    batcher.add('b');
    await clock.advance(39);
    expect(batches).toEqual([]);
    await clock.advance(1);
    expect(batches).toEqual([['a', 'b']]);
    batcher.add('c');
    await clock.advance(99);
    expect(batches).toHaveLength(1);
    await clock.advance(1);
    expect(batches[1]).toEqual(['c']);
  });

  it('leaves no timer behind', async () => {
    const { clock, batches, batcher } = batcherOf(2, 100);
    batcher.add('a');
    batcher.add('b');
    expect(clock.armedTimers()).toBe(0);
    batcher.add('c');
    expect(batcher.takeAll()).toEqual(['c']);
    expect(clock.armedTimers()).toBe(0);
    await clock.advance(1_000);
    expect(batches).toEqual([['a', 'b']]);
  });
});
