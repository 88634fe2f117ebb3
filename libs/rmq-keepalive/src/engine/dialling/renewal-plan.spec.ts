import { describe, expect, it } from '@jest/globals';
import { answerTimeoutMs, askAgainDelayMs, renewalDelayMs } from './renewal-plan.js';

const HOUR = 3_600_000;
const lowest = (): number => 0;

describe('credentials that end', () => {
  it('are renewed at two thirds of what is left of their time', () => {
    expect(renewalDelayMs(HOUR, lowest)).toBe(HOUR * (2 / 3));
    expect(renewalDelayMs(6_000, lowest)).toBe(4_000);
  });

  it('are not asked for without a pause, however short their time, nor when they are over', () => {
    expect(renewalDelayMs(100, lowest)).toBe(1_000);
    expect(renewalDelayMs(-1, lowest)).toBe(7_500);
  });

  it.each([HOUR, 60_000, 8_000])(
    'are asked for several times before they end, at most 12 times a minute (%i ms)',
    (life) => {
      const asked: number[] = [];
      let now = life * (2 / 3);
      while (now < life + 120_000) {
        asked.push(now);
        now += askAgainDelayMs(life - now, lowest);
      }
      expect(asked.filter((at) => at < life).length).toBeGreaterThanOrEqual(2);
      for (const from of asked)
        expect(asked.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(12);
    },
  );

  it('leave time for a new dial when the broker does not answer the update', () => {
    expect(answerTimeoutMs(HOUR, 10_000)).toBe(10_000);
    expect(answerTimeoutMs(3_000, 10_000)).toBe(1_500);
    expect(answerTimeoutMs(undefined, 10_000)).toBe(10_000);
    expect(answerTimeoutMs(-5, 10_000)).toBe(10_000);
  });
});
