import { describe, expect, it } from '@jest/globals';
import { Turns } from './turns.js';

describe('the lanes', () => {
  it('let in as many as they are wide, and the rest in the order they came', () => {
    const turns = new Turns<string>(2);
    expect(['a', 'b', 'c', 'd'].map((item) => turns.enter(item))).toEqual([true, true, false, false]);
    expect(turns.waiting).toBe(2);
    expect([turns.leave(), turns.leave(), turns.leave(), turns.leave()]).toEqual(['c', 'd', undefined, undefined]);
    expect(turns.enter('e')).toBe(true);
  });

  it('work on one item of a key at a time, and on other keys meanwhile', () => {
    const turns = new Turns<string>(10);
    expect(turns.enter('a1', 'a')).toBe(true);
    expect(turns.enter('a2', 'a')).toBe(false);
    expect(turns.enter('b1', 'b')).toBe(true);
    expect(turns.enter('a3', 'a')).toBe(false);
    expect(turns.leave('b')).toBeUndefined();
    expect(turns.leave('a')).toBe('a2');
    expect(turns.leave('a')).toBe('a3');
    expect(turns.leave('a')).toBeUndefined();
    expect(turns.enter('a4', 'a')).toBe(true);
  });

  it('keep a place for nobody: a key that waits for its own does not take up room', () => {
    const turns = new Turns<string>(2);
    expect(turns.enter('a1', 'a')).toBe(true);
    for (const item of ['a2', 'a3', 'a4']) expect(turns.enter(item, 'a')).toBe(false);
    expect(turns.enter('b1', 'b')).toBe(true);
  });

  it('forget what waited when it is taken, and keep the keys that are worked on', () => {
    const turns = new Turns<string>(1);
    turns.enter('a1', 'a');
    turns.enter('a2', 'a');
    turns.enter('b1', 'b');
    turns.enter('b2', 'b');
    turns.enter('free');
    expect(turns.takeWaiting().sort()).toEqual(['a2', 'b1', 'b2', 'free']);
    expect(turns.waiting).toBe(0);
    // Somebody still works on a1.
    expect(turns.enter('a3', 'a')).toBe(false);
    expect(turns.enter('b3', 'b')).toBe(false);
    expect(turns.leave('a')).toBe('b3');
    expect(turns.leave('b')).toBe('a3');
  });

  it('keep the order within each key, and never more at work than they are wide, through 200,000 random steps', () => {
    let seed = 11;
    const random = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below;
    const turns = new Turns<{ key: number; number: number }>(8);
    const given = new Map<number, number>();
    const done = new Map<number, number>();
    const atWork: { key: number; number: number }[] = [];
    for (let step = 0; step < 200_000; step++) {
      if (turns.waiting < 100 && random(2) === 0) {
        const key = random(20);
        const item = { key, number: (given.get(key) ?? 0) + 1 };
        given.set(key, item.number);
        if (turns.enter(item, key)) atWork.push(item);
      } else if (atWork.length > 0) {
        const [item] = atWork.splice(random(atWork.length), 1) as [{ key: number; number: number }];
        if (item.number !== (done.get(item.key) ?? 0) + 1)
          throw new Error(`key ${item.key}: ${item.number} out of order`);
        done.set(item.key, item.number);
        const next = turns.leave(item.key);
        if (next !== undefined) atWork.push(next);
      }
      if (atWork.length > 8) throw new Error(`${atWork.length} at work`);
      if (new Set(atWork.map(({ key }) => key)).size !== atWork.length) throw new Error('two of one key at work');
      if (atWork.length === 0 && turns.waiting > 0) throw new Error('everybody waits, and nobody works');
    }
    expect([...done.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(50_000);
  });
});
