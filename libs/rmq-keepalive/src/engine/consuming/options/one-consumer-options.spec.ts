import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../../errors/options-error.js';
import { resolveSubscription, type SubscriptionOptions } from './subscription.js';

const resolve = (options: Partial<SubscriptionOptions>) =>
  resolveSubscription({ queue: 'q', ...options }, () => undefined);

describe('one consumer at a time', () => {
  it('is declared with the queue, beside its other arguments', () => {
    const wanted = resolve({ singleActive: true, queueOptions: { type: 'quorum', arguments: { 'x-max-length': 9 } } });
    expect(wanted.queue.options.arguments).toEqual({
      'x-queue-type': 'quorum',
      'x-max-length': 9,
      'x-single-active-consumer': true,
    });
  });

  it.each<[string, Partial<SubscriptionOptions>, boolean]>([
    ['the option', { singleActive: true }, true],
    ['the argument', { queueOptions: { arguments: { 'x-single-active-consumer': true } } }, true],
    ['both', { singleActive: true, queueOptions: { arguments: { 'x-single-active-consumer': true } } }, true],
    ['neither', {}, false],
  ])('is known by %s', (_, options, expected) => {
    expect(resolve(options).singleActive).toBe(expected);
  });

  const asStream = { type: 'stream' } as const;
  it.each<[string, Partial<SubscriptionOptions>, RegExp]>([
    ['exclusive on a quorum queue', { exclusive: true, queueOptions: { type: 'quorum' } }, /Use singleActive: true/],
    [
      'exclusive on a quorum queue by its arguments',
      { exclusive: true, queueOptions: { arguments: { 'x-queue-type': 'quorum' } } },
      /q"\.exclusive: a quorum queue has no exclusive consumers: the broker consents, and to a second one/,
    ],
    ['exclusive on a stream', { exclusive: true, queueOptions: asStream }, /every reader of a stream gets all of it/],
    ['both', { exclusive: true, singleActive: true }, /Use one of the two/],
    [
      'exclusive on a queue with a single active consumer',
      { exclusive: true, queueOptions: { arguments: { 'x-single-active-consumer': true } } },
      /refuses exclusive ones/,
    ],
    ['on a stream', { singleActive: true, queueOptions: asStream }, /q"\.singleActive: a stream has none/],
    ['on a stream by its offset', { singleActive: true, streamOffset: 'first' }, /a stream has none/],
    ['on a server-named queue', { name: 'n', queue: '', singleActive: true }, /is ours alone/],
    ['on an exclusive queue', { singleActive: true, queueOptions: { exclusive: true } }, /is ours alone/],
    ['on a queue of somebody else', { singleActive: true, ifQueueMissing: 'wait' }, /declared by somebody else/],
    [
      'against its own arguments',
      { singleActive: true, queueOptions: { arguments: { 'x-single-active-consumer': false } } },
      /say that x-single-active-consumer is false\. Drop the argument/,
    ],
  ])('is refused: %s', (_, options, message) => {
    expect(() => resolve(options)).toThrow(OptionsError);
    expect(() => resolve(options)).toThrow(message);
  });
});
