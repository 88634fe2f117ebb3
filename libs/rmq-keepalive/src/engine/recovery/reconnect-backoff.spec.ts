import { describe, expect, it } from '@jest/globals';
import { seededRandom } from '../../../../../tools/chaos/seeded-random.js';
import { OptionsError } from '../errors/options-error.js';
import {
  reconnectDelayMs,
  resolveReconnect,
  type ReconnectOptions,
  type ReconnectSituation,
} from './reconnect-backoff.js';

/** Plays one outage: every attempt before its end fails at once. */
function play(outageEndsAfterMs: number, random: () => number, maxDelayMs?: number) {
  let attempt = 0;
  let now = 0;
  do {
    attempt++;
    now += reconnectDelayMs({ attempt, outageMs: now, random, loginRefused: false, maxDelayMs });
  } while (now < outageEndsAfterMs);
  return { attempts: attempt, lateMs: now - outageEndsAfterMs };
}

const LOWEST = () => 0;
const HIGHEST = () => 1 - Number.EPSILON;
const range = (situation: Partial<ReconnectSituation> & Pick<ReconnectSituation, 'attempt' | 'outageMs'>) =>
  [LOWEST, HIGHEST].map((random) => Math.round(reconnectDelayMs({ loginRefused: false, ...situation, random })));

describe('when the link was just lost', () => {
  it('tries again after 20 to 120 ms', () => {
    expect(range({ attempt: 1, outageMs: 0 })).toEqual([20, 120]);
  });

  it('spreads the first attempts of many clients evenly over these 100 ms', () => {
    const random = seededRandom(7);
    const slots = Array.from({ length: 10 }, () => 0);
    for (let client = 0; client < 5000; client++) {
      const delayMs = reconnectDelayMs({ attempt: 1, outageMs: 0, random, loginRefused: false });
      slots[Math.floor((delayMs - 20) / 10)]!++;
    }
    expect(Math.min(...slots)).toBeGreaterThan(400);
    expect(Math.max(...slots)).toBeLessThan(600);
  });
});

describe('while the broker stays away', () => {
  it('waits for anything between 100 ms and a fifth of the outage so far', () => {
    expect(range({ attempt: 2, outageMs: 1000 })).toEqual([100, 200]);
    expect(range({ attempt: 9, outageMs: 60_000 })).toEqual([100, 12_000]);
  });

  it('waits for 100 ms at least, however young the outage', () => {
    expect(range({ attempt: 2, outageMs: 0 })).toEqual([100, 100]);
    expect(range({ attempt: 2, outageMs: 499 })).toEqual([100, 100]);
  });

  it('never waits for longer than the cap', () => {
    expect(range({ attempt: 500, outageMs: 86_400_000 })).toEqual([100, 30_000]);
    expect(range({ attempt: 500, outageMs: 86_400_000, maxDelayMs: 5000 })).toEqual([100, 5000]);
    expect(range({ attempt: 1, outageMs: 0, maxDelayMs: 100 })).toEqual([20, 100]);
  });
});

describe('when the broker comes back', () => {
  const outages = Array.from({ length: 60 }, (_, step) => 100 * 36_000 ** (step / 59));

  it('has an attempt within a quarter of the outage (or 150 ms), whatever the outage from 0.1 s to 1 h', () => {
    const tooLate: unknown[] = [];
    for (const outageMs of outages) {
      for (let seed = 1; seed <= 200; seed++) {
        const { lateMs } = play(outageMs, seededRandom(seed));
        if (lateMs > Math.max(150, outageMs / 4)) tooLate.push({ outageMs, seed, lateMs });
      }
    }
    expect(tooLate).toEqual([]);
  });

  it('is never late by more than the cap', () => {
    for (let seed = 1; seed <= 200; seed++)
      expect(play(3_600_000, seededRandom(seed)).lateMs).toBeLessThanOrEqual(30_000);
    for (let seed = 1; seed <= 20; seed++)
      expect(play(3_600_000, seededRandom(seed), 2000).lateMs).toBeLessThanOrEqual(2000);
  });

  it.each([
    [1000, 15],
    [10_000, 40],
    [60_000, 70],
    [3_600_000, 380],
  ])('after %i ms it has taken fewer than %i attempts on average', (outageMs, most) => {
    let attempts = 0;
    for (let seed = 1; seed <= 200; seed++) attempts += play(outageMs, seededRandom(seed)).attempts;
    expect(attempts / 200).toBeLessThan(most);
  });

  it('is not met by all its clients at once: 500 of them come back over a fifth of the outage', () => {
    const backAt = Array.from({ length: 500 }, (_, client) => play(60_000, seededRandom(client)).lateMs);
    for (let second = 0; second < 12; second++) {
      const inThisSecond = backAt.filter((ms) => ms >= second * 1000 && ms < (second + 1) * 1000).length;
      expect(inThisSecond).toBeLessThan(150);
    }
  });
});

describe('when the last attempt got no answer at all', () => {
  it('waits for 4 s at most, since the attempt itself has waited', () => {
    expect(range({ attempt: 9, outageMs: 120_000, unanswered: true })).toEqual([100, 4_000]);
    expect(range({ attempt: 2, outageMs: 10_000, unanswered: true })).toEqual([100, 2_000]);
    expect(range({ attempt: 9, outageMs: 120_000, unanswered: true, maxDelayMs: 1_000 })).toEqual([100, 1_000]);
  });
});

describe('when the login was refused', () => {
  it('waits 5 to 10 s, then longer, up to the cap, however young the outage', () => {
    expect(range({ attempt: 2, outageMs: 50, loginRefused: true })).toEqual([5000, 10_000]);
    expect(range({ attempt: 3, outageMs: 9000, loginRefused: true })).toEqual([10_000, 20_000]);
    expect(range({ attempt: 4, outageMs: 30_000, loginRefused: true })).toEqual([15_000, 30_000]);
    expect(range({ attempt: 5000, outageMs: 1e9, loginRefused: true })).toEqual([15_000, 30_000]);
  });

  it('does so even as the answer to the very first attempt', () => {
    expect(range({ attempt: 1, outageMs: 0, loginRefused: true })).toEqual([5000, 10_000]);
  });

  it('keeps to a lower cap', () => {
    expect(range({ attempt: 2, outageMs: 0, loginRefused: true, maxDelayMs: 1000 })).toEqual([500, 1000]);
  });
});

describe('when the reconnect option is read', () => {
  const refusal = (options: unknown) => {
    try {
      resolveReconnect(options as ReconnectOptions);
    } catch (error) {
      if (error instanceof OptionsError) return error;
    }
    throw new Error('was accepted');
  };

  it('tries for ever, at most 30 s apart, if nothing is said', () => {
    expect(resolveReconnect()).toEqual({ maxDelayMs: 30_000, maxAttempts: Infinity });
    expect(resolveReconnect({ maxAttempts: Infinity })).toEqual({ maxDelayMs: 30_000, maxAttempts: Infinity });
  });

  it('keeps what is valid', () => {
    expect(resolveReconnect({ maxDelayMs: 5000, maxAttempts: 3 })).toEqual({ maxDelayMs: 5000, maxAttempts: 3 });
  });

  it.each([0, 99, -1, NaN, Infinity, 2 ** 31, '5000'])('refuses maxDelayMs: %p', (maxDelayMs) => {
    expect(refusal({ maxDelayMs }).option).toBe('reconnect.maxDelayMs');
  });

  it.each([0, -1, 1.5, NaN, '3'])('refuses maxAttempts: %p', (maxAttempts) => {
    const error = refusal({ maxAttempts });
    expect(error.option).toBe('reconnect.maxAttempts');
    expect(error.message).toContain('or Infinity');
  });

  it('names an unknown key and the known one that is nearest to it', () => {
    expect(refusal({ maxDelay: 5 }).message).toContain('Did you mean "maxDelayMs"?');
    expect(refusal({ attempts: 5 }).message).toContain('Did you mean "maxAttempts"?');
  });

  it.each([false, null, 5, 'never', []])('refuses %p in place of an options object', (options) => {
    expect(refusal(options).message).toContain('is not an options object');
  });
});
