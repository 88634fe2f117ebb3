import { describe, expect, it } from '@jest/globals';
import { OptionsError, type SubscriptionOptions } from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const PAYMENTS = { exchange: 'payments', exchangeType: 'direct', routingKey: ['refund', 'chargeback'] };

describe('a queue that several exchanges lead to', () => {
  const faults = useFaults();

  it.each<[string, SubscriptionOptions]>([
    ['is shared', { queue: 'ledger' }],
    ['is exclusive', { queue: 'ledger', queueOptions: { exclusive: true } }],
    ['is named by the broker', { name: 'ledger', queue: '' }],
  ])('gets the messages of all of them where it %s, at once after every reconnect too', async (_, options) => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    const ledger = connection.subscribe(
      {
        ...options,
        exchange: 'shop',
        routingKey: 'order.*',
        bindings: [PAYMENTS, { exchange: 'shop', routingKey: 'basket.#' }, { exchange: 'all', exchangeType: 'fanout' }],
      },
      faults.oracle.consume,
    );
    await started(connection);
    const ways = [
      ['shop', 'order.paid'],
      ['shop', 'basket.full'],
      ['payments', 'refund'],
      ['payments', 'chargeback'],
      ['all', ''],
    ] as const;
    const publishAll = async (round: string): Promise<void> => {
      for (const [exchange, key] of ways)
        await faults.oracle.publish(connection, exchange, key, `${round} ${exchange} ${key}`);
    };
    await publishAll('before');
    for (const round of ['first', 'second']) {
      const lost = new Promise((resolve) => connection.on('consumer-lost', resolve));
      proxy.reset();
      await lost;
      // Nothing of it waits for a retry: no binding was refused on the way.
      await ledger.ready;
      await publishAll(round);
    }
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.eventsOf('entity-refused')).toEqual([]);
    expect(faults.oracle.rejected).toEqual([]);
  });

  it('control: with a binding in the topology an exclusive queue is refused it after a reconnect', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({
      urls: proxy.url(faults.vhost.url),
      topology: {
        exchanges: [{ name: 'all', type: 'fanout' }],
        bindings: [{ exchange: 'all', queue: 'mine' }],
      },
    });
    const mine = connection.subscribe({ queue: 'mine', queueOptions: { exclusive: true } }, faults.oracle.consume);
    await connection.start();
    await mine.ready;
    await until('the binding is refused', () => faults.oracle.eventsOf('entity-refused').length > 0);
  });

  it('is told only once how an exchange is, here or in the topology', async () => {
    const connection = faults.connect({ topology: { exchanges: [{ name: 'shop', type: 'direct' }] } });
    const ledger = connection.subscribe(
      {
        queue: 'ledger',
        bindings: [{ exchange: 'shop', routingKey: 'a' }, PAYMENTS, { exchange: 'payments', routingKey: 'b' }],
      },
      () => undefined,
    );
    await started(connection);
    await ledger.ready;
    const { channel } = await bareClient(faults);
    await channel.assertExchange('shop', 'direct');
    await channel.assertExchange('payments', 'direct');
    const twice = [PAYMENTS, { ...PAYMENTS, exchangeType: 'topic' }];
    for (const bindings of [
      twice,
      [{ exchange: 'shop' }],
      [{ exchange: '' }],
      'shop' as never,
      [{ key: 'a' }] as never,
    ])
      expect(() => connection.subscribe({ queue: 'other', bindings }, () => undefined)).toThrow(OptionsError);
    expect(connection.subscription('other')).toBeUndefined();
  });
});
