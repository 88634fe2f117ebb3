import { describe, expect, it } from '@jest/globals';
import { Lanes } from './turns.js';

describe('the lanes', () => {
  it('let in as many as they are wide, and the rest in the order they came', () => {
    const lanes = new Lanes<string>(2);
    expect(['a', 'b', 'c', 'd'].map((item) => lanes.enter(item))).toEqual([true, true, false, false]);
    expect(lanes.waiting).toBe(2);
    expect([lanes.leave(), lanes.leave(), lanes.leave(), lanes.leave()]).toEqual(['c', 'd', undefined, undefined]);
    expect(lanes.enter('e')).toBe(true);
  });

  it('work on one item of a key at a time, and on other keys meanwhile', () => {
    const lanes = new Lanes<string>(10);
    expect(lanes.enter('a1', 'a')).toBe(true);
    expect(lanes.enter('a2', 'a')).toBe(false);
    expect(lanes.enter('b1', 'b')).toBe(true);
    expect(lanes.enter('a3', 'a')).toBe(false);
    expect(lanes.leave('b')).toBeUndefined();
    expect(lanes.leave('a')).toBe('a2');
    expect(lanes.leave('a')).toBe('a3');
    expect(lanes.leave('a')).toBeUndefined();
    expect(lanes.enter('a4', 'a')).toBe(true);
  });

  it('keep a place for nobody: a key that waits for its own does not take up room', () => {
    const lanes = new Lanes<string>(2);
    expect(lanes.enter('a1', 'a')).toBe(true);
    for (const item of ['a2', 'a3', 'a4']) expect(lanes.enter(item, 'a')).toBe(false);
    expect(lanes.enter('b1', 'b')).toBe(true);
  });

  it('forget what waited when it is taken, and keep the keys that are worked on', () => {
    const lanes = new Lanes<string>(1);
    lanes.enter('a1', 'a');
    lanes.enter('a2', 'a');
    lanes.enter('b1', 'b');
    lanes.enter('b2', 'b');
    lanes.enter('free');
    expect(lanes.takeWaiting().sort()).toEqual(['a2', 'b1', 'b2', 'free']);
    expect(lanes.waiting).toBe(0);
    // Somebody still works on a1.
    expect(lanes.enter('a3', 'a')).toBe(false);
    expect(lanes.enter('b3', 'b')).toBe(false);
    expect(lanes.leave('a')).toBe('b3');
    expect(lanes.leave('b')).toBe('a3');
  });

  it('keep the order within each key, and never more at work than they are wide, through 200,000 random steps', () => {
    let seed = 11;
    const random = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
    const lanes = new Lanes<{ key: number; number: number }>(8);
    const given = new Map<number, number>();
    const done = new Map<number, number>();
    const atWork: { key: number; number: number }[] = [];
    for (let step = 0; step < 200_000; step++) {
      if (lanes.waiting < 100 && random(2) === 0) {
        const key = random(20);
        const item = { key, number: (given.get(key) ?? 0) + 1 };
        given.set(key, item.number);
        if (lanes.enter(item, key)) atWork.push(item);
      } else if (atWork.length > 0) {
        const [item] = atWork.splice(random(atWork.length), 1) as [{ key: number; number: number }];
        if (item.number !== (done.get(item.key) ?? 0) + 1)
          throw new Error(`key ${item.key}: ${item.number} out of order`);
        done.set(item.key, item.number);
        const next = lanes.leave(item.key);
        if (next !== undefined) atWork.push(next);
      }
      if (atWork.length > 8) throw new Error(`${atWork.length} at work`);
      if (new Set(atWork.map(({ key }) => key)).size !== atWork.length) throw new Error('two of one key at work');
      if (atWork.length === 0 && lanes.waiting > 0) throw new Error('everybody waits, and nobody works');
    }
    expect([...done.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(50_000);
  });
});
