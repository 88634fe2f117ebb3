import { describe, expect, it } from '@jest/globals';
import { canSpellForbiddenKey, forbiddenKeyIn, isNestedDeeperThan } from './json-text-checks.js';

/** The depth of a value, found the slow and certain way. */
const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;

const deepest = (json: string): number => {
  for (let depth = 0; ; depth++) if (!isNestedDeeperThan(depth, json)) return depth;
};

describe('when nesting is measured', () => {
  it.each([
    ['1', 0],
    ['"{[{["', 0],
    ['{}', 1],
    ['[[],[],{"a":[]}]', 3],
    ['{"a":"\\"[[[","b":[]}', 2],
    ['{"a":"\\\\","b":[[]]}', 3],
    ['{"a\\\\\\"[[":1}', 1],
    ['{"a":"\\\\\\\\"}', 1],
    ['["ŝ[", "Ż{", "ě}"]', 1],
  ])('%s is %i deep', (json, depth) => {
    expect(deepest(json)).toBe(depth);
    expect(depthOf(JSON.parse(json))).toBe(depth);
  });

  it('agrees with a walk through the value for any JSON', () => {
    let state = 42;
    const next = (below: number) => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    const words = ['', '"', '\\', '\\\\', '\\"', '[[[', '}}}', 'é"', '\u{1f600}{', '\n'];
    const value = (room: number): unknown => {
      const kind = next(room > 0 ? 5 : 3);
      if (kind === 0) return next(100);
      if (kind < 3) return words[next(words.length)]! + words[next(words.length)]!;
      const inner = Array.from({ length: next(4) }, () => value(room - 1));
      return kind === 3 ? inner : Object.fromEntries(inner.map((one) => [words[next(words.length)]! + next(9), one]));
    };
    for (let round = 0; round < 3000; round++) {
      const made = value(7);
      expect(deepest(JSON.stringify(made))).toBe(depthOf(made));
    }
  });

  it('comes to an end on text that is no JSON', () => {
    for (const text of ['', '"', '"\\', '\\', ']]]', '[[["', '"[', '{"a'])
      expect(isNestedDeeperThan(2, text)).toBe(text === '[[["');
  });

  it('needs no time to speak of for a million brackets, quotes or backslashes', () => {
    const started = performance.now();
    expect(isNestedDeeperThan(64, '['.repeat(1_000_000))).toBe(true);
    expect(isNestedDeeperThan(64, '[]'.repeat(500_000))).toBe(false);
    expect(isNestedDeeperThan(64, `${'['.repeat(66)}${'"'.repeat(1_000_000)}`)).toBe(true);
    expect(isNestedDeeperThan(64, `${'[]'.repeat(66)}"${'\\'.repeat(1_000_000)}`)).toBe(false);
    expect(isNestedDeeperThan(64, `${'[]'.repeat(66)}"${'\\"'.repeat(500_000)}`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('when forbidden keys are looked for', () => {
  const find = (json: string) => (canSpellForbiddenKey(json) ? forbiddenKeyIn(JSON.parse(json)) : undefined);

  it.each([
    '{"__proto__":{"isAdmin":true}}',
    '{"a":[{"b":{"__proto__":null}}]}',
    '{"\\u005f_proto__":1}',
    '{"\\u005F\\u005f\\u0070\\u0072\\u006F\\u0074\\u006f\\u005f\\u005f":1}',
    '[[{"__pr\\u006fto__":1}]]',
  ])('%s has __proto__', (json) => {
    expect(find(json)).toBe('__proto__');
  });

  it.each([
    '{"constructor":{"prototype":{"isAdmin":true}}}',
    '{"a":[{"constructor":{"x":1,"prototype":1}}]}',
    '{"c\\u006fnstructor":{"prototype":1}}',
    '{"constructor":{"protot\\u0079pe":1}}',
    '{"constructor":{"\\u0070rototype":1}}',
  ])('%s has constructor.prototype', (json) => {
    expect(find(json)).toBe('constructor.prototype');
  });

  it.each([
    '{"constructor":"McLaren","prototype":true}',
    '{"constructor":{"name":"prototype"}}',
    '{"note":"never merge __proto__ or constructor.prototype"}',
    '{"note":"\\\\u005f_proto__"}',
    '{"__proto":1,"proto__":2,"name":"caf\\u00e9"}',
    '{"prototype":{"constructor":1}}',
    '"__proto__"',
    'null',
  ])('%s has none', (json) => {
    expect(find(json)).toBeUndefined();
  });

  it('is not asked to walk through what a client escaped as non-ASCII', () => {
    expect(canSpellForbiddenKey('{"name":"caf\\u00e9 \\u00df \\u2713"}')).toBe(false);
  });

  it('catches every way to escape a letter of a forbidden key', () => {
    for (const key of ['__proto__', 'constructor', 'prototype']) {
      for (const letter of new Set(key)) {
        const code = letter.charCodeAt(0).toString(16);
        for (const hex of [code, code.toUpperCase()]) {
          expect(canSpellForbiddenKey(`{"${key.replaceAll(letter, `\\u00${hex}`)}":1}`)).toBe(true);
        }
      }
    }
  });
});
