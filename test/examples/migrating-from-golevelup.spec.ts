import { describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { connect, type ConsumeMessage } from 'amqplib';
import { OrdersModule } from '../../examples/migrating-from-golevelup/orders.module.js';
import { useFaults } from '../support/fault-fixture.js';
import { useHarness } from '../support/harness-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const MAIN = new URL('../../examples/migrating-from-golevelup/main.ts', import.meta.url);

// As the other library does: JSON without a content type; and JSON.parse() of whatever comes.
const written = (payload: unknown) => Buffer.from(JSON.stringify(payload));
const read = (message: ConsumeMessage | null): unknown => JSON.parse(message!.content.toString());

describe('the module of examples/migrating-from-golevelup', () => {
  const at = useHarness('memory');

  it('takes the events that the other library sends, and sends what it takes', async () => {
    const { harness } = at;
    const module = await harness.override(Test.createTestingModule({ imports: [OrdersModule] })).compile();
    await module.init();
    at.afterwards(() => module.close());
    const channel = await at.channel();
    const headers = { 'x-tenant': 'acme' };
    for (const [id, item] of Object.entries({ a: 'tea', b: 'flaky', c: 'nothing' }))
      channel.publish('shop', 'order.created', written({ id, item }), { headers });
    await channel.waitForConfirms();

    await harness.advance(200);
    await harness.advance(400);
    const accepted = harness.published({ exchange: 'shop', routingKey: 'order.accepted' });
    expect(accepted.map(({ payload }) => payload)).toEqual([
      { id: 'a', tenant: 'acme' },
      { id: 'b', tenant: 'acme' },
    ]);
    expect(harness.handled<{ id: string }>('accepted').map(({ payload }) => payload.id)).toEqual(['a', 'b']);
    expect(harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 1, 1, 2, 3]);
    expect(await harness.deadLetters('orders.dead')).toMatchObject([{ payload: { id: 'c', item: 'nothing' } }]);
  });
});

describe('examples/migrating-from-golevelup', () => {
  const faults = useFaults();

  /** The service, and a channel of somebody who has not moved yet. */
  async function both() {
    const service = TypescriptChild.start(MAIN, { env: { RMQ_URLS: faults.vhost.url } });
    faults.afterwards(() => service.dispose());
    await until('it works', () => service.stdout.includes('Orders are taken.'), { timeoutMs: 20_000 });
    const session = await connect(faults.vhost.url);
    faults.afterwards(() => session.close());
    return { service, channel: await session.createConfirmChannel() };
  }

  it('answers the requests of the other library, and its own', async () => {
    const { service, channel } = await both();
    const replies: [string, unknown][] = [];
    await channel.consume(
      'amq.rabbitmq.reply-to',
      (message) => replies.push([message!.properties.correlationId as string, read(message)]),
      { noAck: true },
    );
    const options = { replyTo: 'amq.rabbitmq.reply-to', correlationId: 'c-1' };
    channel.publish('shop', 'price', written({ item: 'pot' }), options);
    await until('it is answered', () => replies.length === 1);
    expect(replies).toEqual([['c-1', { cents: 30 }]]);
    await until('it has its own answers', () => service.stdout.includes('There is no price for moon'));
    expect(service.stdout).toContain('tea costs { cents: 7 }');
  }, 60_000);

  it('asks a handler of the other library', async () => {
    const { channel } = await both();
    await channel.assertQueue('weights');
    await channel.consume(
      'weights',
      (message) => {
        const { replyTo, correlationId } = message!.properties as { replyTo: string; correlationId: string };
        channel.publish('', replyTo, written({ grams: (read(message) as string).length }), { correlationId });
      },
      { noAck: true },
    );
    expect(await faults.connect().rpc.request({ queue: 'weights' }, 'tea')).toEqual({ grams: 3 });
  }, 60_000);
});
