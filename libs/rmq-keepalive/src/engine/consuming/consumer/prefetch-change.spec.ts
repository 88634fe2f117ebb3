import { describe, expect, it } from '@jest/globals';
import { canChangePrefetch } from './prefetch-change.js';

const shared = { exclusive: false, isOwnQueue: false, ifQueueMissing: 'declare' } as const;
const queue = (options: Record<string, unknown> = {}) => ({ kind: 'queue', name: 'work', options }) as const;

describe('whether the prefetch of an attached consumer can be changed both ways', () => {
  it.each([
    ['of a shared queue', { ...shared, queue: queue() }, true],
    ['of an exclusive one', { ...shared, exclusive: true, queue: queue() }, true],
    [
      'of an exclusive one that its queue dies with',
      { ...shared, exclusive: true, queue: queue({ autoDelete: true }) },
      false,
    ],
    ['of a single active one', { ...shared, queue: queue({ arguments: { 'x-single-active-consumer': true } }) }, false],
  ])('%s: %#', (_, wanted, expected) => {
    expect(canChangePrefetch(wanted)).toBe(expected);
  });
});
