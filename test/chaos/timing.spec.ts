import { describe, expect, it } from '@jest/globals';
import type { PastAccident } from '../../tools/chaos/accident.js';
import type { Entry } from '../../tools/chaos/ledger.js';
import { QUEUE } from '../../tools/chaos/protocol.js';
import { aftermathOf, longestPause } from '../../tools/chaos/timing.js';

/** Message `id` is published at `id` and handled at `at`. */
const messages = (handled: Record<number, number>): { produced: Entry[]; consumed: Entry[] } => ({
  produced: Object.keys(handled).map((id) => ({ what: 'published', id: Number(id), at: Number(id) })),
  consumed: Object.entries(handled).map(([id, at]) => ({
    what: 'handled',
    id: Number(id),
    at,
    queue: QUEUE,
    copy: 'unannounced',
  })),
});
const accident = (name: string, startedAt: number, overAt: number): PastAccident => ({
  name,
  shownBy: QUEUE,
  startedAt,
  overAt,
});

describe('the time after an accident', () => {
  it('counts until a message was handled that was published after its end, not one that had waited', () => {
    const { produced, consumed } = messages({ 100: 101, 1_100: 2_050, 2_010: 2_300 });
    const [aftermath] = aftermathOf([accident('freeze', 1_000, 2_000)], produced, consumed);
    expect(aftermath).toMatchObject({ backAfterMs: 300, longestPauseMs: 1_949, overlapped: false });
  });

  it('is unknown when nothing was published any more', () => {
    const { produced, consumed } = messages({ 100: 101 });
    expect(aftermathOf([accident('kill', 1_000, 2_000)], produced, consumed)[0]?.backAfterMs).toBeNull();
  });

  it('is marked when another accident struck before all was well', () => {
    const { produced, consumed } = messages({ 100: 101, 5_000: 5_001, 20_000: 20_001 });
    const accidents = [
      accident('first', 1_000, 2_000),
      accident('second', 4_000, 4_100),
      accident('later', 9_000, 9_001),
    ];
    expect(aftermathOf(accidents, produced, consumed).map(({ overlapped }) => overlapped)).toEqual([true, true, false]);
  });

  it('gives the longest pause with the accidents of that time', () => {
    const { produced, consumed } = messages({ 100: 101, 900: 901, 2_010: 2_300, 8_000: 8_001, 8_900: 8_901 });
    const accidents = [
      accident('freeze', 1_000, 2_000),
      accident('reset', 3_000, 3_001),
      accident('slow', 8_500, 8_600),
    ];
    const aftermath = aftermathOf(accidents, produced, consumed);
    expect(longestPause(QUEUE, produced, consumed, aftermath)).toMatchObject({ ms: 5_701, during: ['reset'] });
  });
});
