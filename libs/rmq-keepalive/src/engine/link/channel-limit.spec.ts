import { describe, expect, it } from '@jest/globals';
import { channelLimitIn, probeDelayMs } from './channel-limit.js';

const closed = (text: string): string => `Connection closed: 530 (NOT-ALLOWED) with message "NOT_ALLOWED - ${text}"`;

describe('what the broker says of a limit on channels', () => {
  it.each([
    ['3.10', "number of channels opened for user 'orders' has reached the maximum allowed user limit of (5)", 'user'],
    [
      '4.0',
      "number of channels opened for user 'rabbit@host' has reached the maximum allowed user limit of (5)",
      'user',
    ],
    ['4.3', "number of channels opened for user 'orders' has reached the maximum allowed user limit of 5", 'user'],
    ['a node', "number of channels opened on node 'rabbit@host' has reached the maximum allowed limit of (5)", 'node'],
  ])('is read: %s', (_, text, whose) => {
    expect(channelLimitIn(closed(text))).toEqual({ whose, limit: 5 });
  });

  it('is nothing else that ends a connection with 530', () => {
    expect(channelLimitIn(closed("access to vhost 'v' refused for user 'u': connection limit (5) is reached"))).toBe(
      undefined,
    );
  });
});

describe('asking whether the limit was raised', () => {
  it('begins within ten seconds, and becomes rarer, up to twice a minute', () => {
    const never = Array.from({ length: 8 }, (_, inVain) => probeDelayMs(inVain, () => 0));
    expect(never).toEqual([6_000, 9_000, 13_500, 20_250, 30_000, 30_000, 30_000, 30_000]);
    expect(probeDelayMs(0, () => 0.999)).toBeLessThanOrEqual(7_500);
  });
});
