import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import type { ConnectionEventOf } from '../reporting/events.js';
import { ConnectionRecord } from './connection-record.js';

describe('stalls of the event loop, as a connection remembers them', () => {
  const stall = (stalledForMs: number, advice = 'split the work'): ConnectionEventOf<'event-loop-stalled'> => ({
    type: 'event-loop-stalled',
    stalledForMs,
    kind: 'loop-blocked',
    thread: 'main',
    heartbeatsKept: false,
    advice,
  });

  it('are counted, with the longest one, and the last one with its time', () => {
    const clock = new ManualClock();
    const record = new ConnectionRecord(clock);
    expect(record.eventLoop).toEqual({
      stalls: 0,
      longestStallMs: 0,
      lastStallMs: 0,
      lastStallAt: null,
      lastStallKind: null,
    });
    record.noteStall(stall(900));
    clock.block(5_000);
    record.noteStall(stall(300));
    expect(record.eventLoop).toEqual({
      stalls: 2,
      longestStallMs: 900,
      lastStallMs: 300,
      lastStallAt: clock.wallClock(),
      lastStallKind: 'loop-blocked',
    });
  });

  it('are one stall, though each link noticed it', () => {
    const record = new ConnectionRecord(new ManualClock());
    expect(record.noteStall(stall(900))).toBeDefined();
    expect(record.noteStall(stall(890))).toBeUndefined();
    expect(record.eventLoop.stalls).toBe(1);
  });

  it('come with each advice once', () => {
    const clock = new ManualClock();
    const record = new ConnectionRecord(clock);
    const advices = ['split the work', 'split the work', 'or use the thread', 'split the work'].map((advice) => {
      clock.block(5_000);
      return record.noteStall(stall(900, advice))?.advice;
    });
    expect(advices).toEqual(['split the work', undefined, 'or use the thread', undefined]);
  });
});
