import { describe, expect, it } from '@jest/globals';
import { toQueue } from '../../topology/topology.js';
import { delayAfter, delaysOf, ladderStep, resolveRetry, type RetryOptions } from './retry-policy.js';
import { MAX_DELAY_MS } from '../delivery/settlement.js';

const policyOf = (options: RetryOptions) =>
  resolveRetry(options, 'retry', { queue: toQueue({ name: 'work' }, 'queue'), isOwnQueue: false, ack: 'auto' });
const delays = (options: RetryOptions, random = 0) => {
  const policy = policyOf(options);
  return Array.from({ length: policy.attempts }, (_, i) => delayAfter(policy, i + 1, random));
};

describe('when a message has failed', () => {
  it('waits longer each time, up to the longest delay, and not after the last attempt', () => {
    expect(delays({})).toEqual([1_000, 2_000, 4_000, 8_000, undefined]);
    expect(delays({ attempts: 6, firstDelayMs: 500, factor: 10, maxDelayMs: 60_000 })).toEqual([
      500,
      5_000,
      50_000,
      60_000,
      60_000,
      undefined,
    ]);
    expect(delays({ attempts: 3, factor: 1 })).toEqual([1_000, 1_000, undefined]);
    expect(delays({ attempts: 2, firstDelayMs: 600_000 })).toEqual([600_000, undefined]);
  });

  it('does not try again what claims to have been tried more often than it may be', () => {
    expect(delayAfter(policyOf({}), 1_000_000, 0)).toBeUndefined();
  });

  it('rounds up to two digits, so that policies that nearly agree share their queues', () => {
    expect(delays({ attempts: 4, firstDelayMs: 1_234, factor: 1.5 })).toEqual([1_300, 1_900, 2_800, undefined]);
    expect(delays({ attempts: 2, firstDelayMs: 10.5 })).toEqual([11, undefined]);
  });

  it('takes off at random what jitter allows, in four steps', () => {
    const options = { attempts: 3, firstDelayMs: 1_000, jitter: 0.5 };
    expect([0, 0.3, 0.6, 0.999].map((random) => delays(options, random)[0])).toEqual([1_000, 840, 670, 500]);
    expect(delaysOf(policyOf(options))).toEqual([500, 670, 840, 1_000, 1_400, 1_700, 2_000]);
    expect(delays({ attempts: 2, jitter: 1 }, 0.999)).toEqual([10, undefined]);
  });
});

describe('when a handler asks for a delay of its own', () => {
  it('gets the next step of a ladder: never earlier, at most a third later, few steps in all', () => {
    const steps = new Set<number>();
    for (let ms = 1; ms < MAX_DELAY_MS; ms = Math.ceil(ms * 1.01)) {
      const step = ladderStep(ms);
      steps.add(step);
      expect(step).toBeGreaterThanOrEqual(ms);
      if (ms >= 100) expect(step / ms).toBeLessThanOrEqual(4 / 3 + 1e-9);
    }
    expect(steps.size).toBeLessThanOrEqual(76);
    expect([1, 100, 101, 801, 1_000, 37_000, 2_500_000].map(ladderStep)).toEqual([
      100, 100, 120, 1_000, 1_000, 40_000, 2_500_000,
    ]);
    expect(ladderStep(MAX_DELAY_MS)).toBe(MAX_DELAY_MS);
  });
});

describe('when a policy is checked at boot', () => {
  it.each<[string, RetryOptions]>([
    ['attempts', { attempts: 1 }],
    ['attempts', { attempts: 2.5 }],
    ['firstDelayMs', { firstDelayMs: 0 }],
    ['factor', { factor: 0.5 }],
    ['maxDelayMs', { firstDelayMs: 1_000, maxDelayMs: 999 }],
    ['maxDelayMs', { maxDelayMs: MAX_DELAY_MS + 1 }],
    ['jitter', { jitter: 1.1 }],
    ['on', { on: true as never }],
  ])('refuses a bad %s by name', (option, options) => {
    expect(() => policyOf(options)).toThrow(new RegExp(`^retry\\.${option}: `));
  });

  it('refuses what would need more queues than a broker should have for it', () => {
    expect(() => policyOf({ attempts: 100, factor: 1.1, maxDelayMs: MAX_DELAY_MS })).toThrow(
      /would need \d+ retry queues.*Raise the factor/,
    );
    expect(() => policyOf({ atempts: 3 } as never)).toThrow(/Did you mean "attempts"/);
  });
});
