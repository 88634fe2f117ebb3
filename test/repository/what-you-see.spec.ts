import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { type ConnectionEvent, describeEvent } from 'nestjs-rmq-keepalive';
import { SAMPLE_EVENTS } from '../support/sample-events.js';

const PAGE = 'docs/operations/what-you-see.md';
const ERRORS = 'libs/rmq-keepalive/src/engine/errors';
const VERDICT = 'libs/rmq-keepalive/src/integrations/terminus/health-verdict.ts';
/** What no spec causes, and why. */
const NOT_SHOWN = new Map([
  ['amqplib-outdated', 'it needs another installation'],
  ['RMQ_ILLEGAL_STATE', 'nothing is known to cause it'],
  ['internal-error', 'nothing is known to cause it'],
]);

/** A row of the page: what stands in its first cell as code, and where it is shown. */
interface Entry {
  readonly codes: readonly string[];
  readonly text: string;
  readonly shownBy: string;
}

const entries: readonly Entry[] = readFileSync(PAGE, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split(' | '))
  .map((cells) => ({
    codes: codesIn(cells[0] ?? ''),
    text: cells[0] ?? '',
    shownBy: (cells[3] ?? '').replace(/\s*\|$/, ''),
  }));

const isCode = (text: string): boolean => /^RMQ_[A-Z_]+$/.test(text);
const isEvent = (text: string): boolean => Object.hasOwn(SAMPLE_EVENTS, text);
const codeEntries = entries.filter(({ codes }) => codes.some(isCode));
const eventEntries = entries.filter(({ codes }) => codes.some(isEvent) && codes.length > 1);

describe('the page that explains log lines and codes', () => {
  it('has every code of an error, and no other', () => {
    const onPage = codeEntries.flatMap(({ codes }) => codes.filter(isCode));
    expect([...onPage].sort()).toEqual([...codesOfErrors().keys()].sort());
  });

  it('has every reason of health, and no other', () => {
    const [, list = ''] = /type HealthReason =([^;]+);/.exec(readFileSync(VERDICT, 'utf8')) ?? [];
    const reasons = [...list.matchAll(/'([a-z-]+)'/g)].map(([, reason]) => reason as string);
    const section = readFileSync(PAGE, 'utf8').split('\n## ')[1] ?? '';
    const onPage = section
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => codesIn(line.split(' | ')[0] ?? ''));
    expect(reasons.length).toBeGreaterThan(10);
    expect([...onPage].sort()).toEqual([...reasons].sort());
  });

  it('has every event', () => {
    const onPage = eventEntries.flatMap(({ codes }) => codes.filter(isEvent));
    expect([...onPage].sort()).toEqual(Object.keys(SAMPLE_EVENTS).sort());
  });

  it.each(Object.entries(SAMPLE_EVENTS))('quotes the sentences of %s, each with its level', (type, samples) => {
    const entry = eventEntries.find(({ codes }) => codes.includes(type));
    const patterns = entry?.codes.filter((code) => code !== type) ?? [];
    const lines = samples.map((sample) => describeEvent(sample as ConnectionEvent));
    const unquoted = lines.filter((line) => !patterns.some((pattern) => matches(pattern, line?.sentence ?? '')));
    expect(unquoted).toEqual([]);
    const idle = patterns.filter((pattern) => !lines.some((line) => matches(pattern, line?.sentence ?? '')));
    expect(idle).toEqual([]);
    const levels = /\(`[a-z-]+`, ([a-z, ]+)\)/.exec(entry?.text ?? '')?.[1]?.split(', ') ?? [];
    expect([...levels].sort()).toEqual([...new Set(lines.map((line) => line?.level as string))].sort());
  });

  it('names for every code and event a spec in which it happens', () => {
    const errors = codesOfErrors();
    const unproven = [...codeEntries, ...eventEntries].flatMap(({ codes, shownBy }) =>
      codes
        .filter((code) => isCode(code) || isEvent(code))
        .filter((code) => !isShown({ words: [code, ...(errors.get(code) ?? [])], code, shownBy }))
        .map((code) => ({ code, shownBy })),
    );
    expect(unproven).toEqual([]);
  });

  it('control: a sentence that is told otherwise, and a spec that speaks of something else, are found', () => {
    expect(matches('Subscription "…" was paused', 'Subscription "orders" was stopped')).toBe(false);
    expect(matches('Subscription "…" was paused', 'Subscription "orders" was paused')).toBe(true);
    const shownBy = '`test/faults/f01-operator-closes-the-connection`';
    expect(isShown({ words: ['RMQ_OUTBOX_FULL', 'OutboxFullError'], code: 'RMQ_OUTBOX_FULL', shownBy })).toBe(false);
  });
});

function codesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string);
}

/** The codes of `engine/errors`, each with the names of its classes. */
function codesOfErrors(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const file of readdirSync(ERRORS).filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))) {
    const text = readFileSync(`${ERRORS}/${file}`, 'utf8');
    for (const part of text.split(/^export class /m))
      for (const [, code] of part.matchAll(/'(RMQ_[A-Z_]+)'/g)) {
        const name = /^\w+Error/.exec(part)?.[0];
        found.set(code as string, [...(found.get(code as string) ?? []), ...(name === undefined ? [] : [name])]);
      }
  }
  return found;
}

/** `…` stands for anything. */
function matches(pattern: string, sentence: string): boolean {
  const parts = pattern.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(sentence);
}

function isShown({ words, code, shownBy }: { words: readonly string[]; code: string; shownBy: string }): boolean {
  if (NOT_SHOWN.has(code)) return shownBy === `none: ${NOT_SHOWN.get(code)}`;
  const file = `${/^`(test\/[^`]+)`$/.exec(shownBy)?.[1]}.spec.ts`;
  return existsSync(file) && words.some((word) => new RegExp(`\\b${word}\\b`).test(readFileSync(file, 'utf8')));
}
