import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../../errors/options-error.js';
import { type BatchOptions, type HandlingOptions, resolveHandling } from './handling-options.js';

const resolve = (options: HandlingOptions, batch?: BatchOptions) => resolveHandling(options, batch, 'subscription "x"');

describe('the options of handling', () => {
  it('have defaults: acked for you, as many handlers as deliveries, a time limit below that of the broker', () => {
    expect(resolve({})).toMatchObject({ ack: 'auto', prefetch: 20, concurrency: 20, handlerTimeoutMs: 1_500_000 });
    expect(resolve({ prefetch: 7 })).toMatchObject({ concurrency: 7 });
    expect(resolve({ concurrency: 50 })).toMatchObject({ prefetch: 50, concurrency: 50 });
    expect(resolve({ ack: 'none', prefetch: 7, concurrency: 50 })).toMatchObject({ concurrency: 50 });
    expect(resolve({ handlerTimeoutMs: false }).handlerTimeoutMs).toBeUndefined();
  });

  it('fetch a second batch while the first is handled', () => {
    expect(resolve({}, { size: 100 })).toMatchObject({
      prefetch: 200,
      concurrency: 1,
      batch: { size: 100, waitMs: 100 },
    });
    expect(resolve({}, { size: 65_535 }).prefetch).toBe(65_535);
    expect(resolve({ concurrency: 3 }, { size: 100 })).toMatchObject({ prefetch: 400, concurrency: 3 });
  });

  it.each<[string, HandlingOptions, BatchOptions | undefined, RegExp]>([
    ['an unknown ack mode', { ack: 'yes' as 'auto' }, undefined, /x"\.ack: "yes" is not known\. Use 'auto'/],
    ['no room for a handler', { concurrency: 0 }, undefined, /concurrency: 0 is not a whole number of handlers from 1/],
    [
      'handlers that never run',
      { prefetch: 5, concurrency: 6 },
      undefined,
      /6 handlers never run at a time with prefetch 5/,
    ],
    [
      'batches that never run',
      { prefetch: 150, concurrency: 2 },
      { size: 100 },
      /2 batches of 100 never run at a time/,
    ],
    ['a batch of no size', {}, {} as never, /batch\.size: undefined is not a whole number.*65535\. Use one that is$/],
    ['a key that is no function', { orderedBy: 'id' as never }, undefined, /orderedBy: "id" is not a function/],
    ['a time limit of nothing', { handlerTimeoutMs: 0 }, undefined, /handlerTimeoutMs: 0 is not a number/],
    ['a time limit no timer can keep', { handlerTimeoutMs: 2 ** 31 }, undefined, /from 1 to 2147483647/],
    ['a priority that is no integer', { priority: 0.5 }, undefined, /priority: 0\.5 is not a whole number/],
    [
      'an exclusive that is no boolean',
      { exclusive: 'yes' as never },
      undefined,
      /exclusive: "yes" is neither true nor false/,
    ],
    [
      'a singleActive that is no boolean',
      { singleActive: 1 as never },
      undefined,
      /singleActive: 1 is neither true nor false/,
    ],
    ['a place before the stream', { streamOffset: -1 }, undefined, /streamOffset: -1 is not a place/],
    ['a date that is none', { streamOffset: new Date('x') }, undefined, /streamOffset: an object is not a place/],
    ['a batch beyond the prefetch', { prefetch: 10 }, { size: 11 }, /11 deliveries never come together.*prefetch: 22/],
    ['an order within a batch', { orderedBy: () => 1 }, { size: 2 }, /a batch is handled as a whole/],
    ['a batch without acks', { ack: 'none' }, { size: 2 }, /would be lost with 'none'/],
    ['an unknown option of a batch', {}, { size: 2, wait: 3 } as never, /there is no option "wait"/],
  ])('refuse %s', (_, options, batch, message) => {
    expect(() => resolve(options, batch)).toThrow(OptionsError);
    expect(() => resolve(options, batch)).toThrow(message);
  });
});
