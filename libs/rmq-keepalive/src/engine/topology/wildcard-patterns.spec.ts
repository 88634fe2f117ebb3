import { describe, expect, it } from '@jest/globals';
import { hasWildcard, matchesPattern } from './wildcard-patterns.js';

describe('patterns with wildcards', () => {
  it.each([
    ['order.*', 'order.created', true],
    ['order.*', 'order', false],
    ['order.*', 'order.created.twice', false],
    ['order.#', 'order', true],
    ['order.#', 'order.a.b.c', true],
    ['#', '', true],
    ['#', 'a.b', true],
    ['*', '', false],
    ['*.created', 'order.created', true],
    ['#.created', 'a.b.created', true],
    ['a.#.z', 'a.z', true],
    ['a.#.z', 'a.b.c.z', true],
    ['a.#.z', 'a.b.c', false],
    ['#.#.#', 'a', true],
    ['a.*.#.b', 'a.b', false],
    ['order.created', 'order.created', true],
  ])('%s takes %s: %s', (pattern, key, isTaken) => {
    expect(matchesPattern(pattern, key)).toBe(isTaken);
  });

  it('take no key that is longer than a routing key can be', () => {
    expect(matchesPattern('#.a.#.b.#.c.#.d', 'a.'.repeat(100_000))).toBe(false);
  });

  it('are told from plain ones by whole words', () => {
    expect(['a.*', '#', 'a.b', 'a*b', 'c#'].map(hasWildcard)).toEqual([true, true, false, false, false]);
  });
});
