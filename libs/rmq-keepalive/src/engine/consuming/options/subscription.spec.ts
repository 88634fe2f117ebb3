import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../../errors/options-error.js';
import { resolveSubscription, type SubscriptionOptions } from './subscription.js';

const resolved = (options: SubscriptionOptions) => () => resolveSubscription(options, () => undefined);

describe('when a name is longer than AMQP allows', () => {
  it.each<[string, SubscriptionOptions]>([
    ['a dead-letter queue', { queue: 'q', deadLetter: 'd'.repeat(256) }],
    ['a dead-letter queue that has its name from the queue', { queue: 'q'.repeat(251) }],
    ['a queue', { queue: 'q'.repeat(256), deadLetter: false }],
    ['a routing key', { queue: 'q', exchange: 'e', routingKey: 'k'.repeat(256) }],
  ])('a subscription with %s is refused at boot', (_, options) => {
    expect(resolved(options)).toThrow(OptionsError);
    expect(resolved(options)).toThrow(/256 bytes are more than the 255 that AMQP allows/);
  });

  it('a queue with the longest name of all is fine with a dead-letter queue of its own, or none', () => {
    for (const deadLetter of ['dead', false] as const)
      expect(resolved({ queue: 'q'.repeat(255), deadLetter })).not.toThrow();
  });
});
