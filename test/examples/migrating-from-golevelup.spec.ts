import { describe, expect, it } from '@jest/globals';
import { connect, type ConsumeMessage } from 'amqplib';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const MAIN = new URL('../../examples/migrating-from-golevelup/main.ts', import.meta.url);

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

  // As that library does: JSON without a content type; and JSON.parse() of whatever comes.
  const written = (payload: unknown) => Buffer.from(JSON.stringify(payload));
  const read = (message: ConsumeMessage | null): unknown => JSON.parse(message!.content.toString());

  it('takes the events that the other library sends, and sends what it takes', async () => {
    const { service, channel } = await both();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'shop', 'order.accepted');
    const accepted: unknown[] = [];
    await channel.consume(queue, (message) => accepted.push(read(message)), { noAck: true });
    const headers = { 'x-tenant': 'acme' };
    for (const [id, item] of Object.entries({ a: 'tea', b: 'flaky', c: 'nothing' }))
      channel.publish('shop', 'order.created', written({ id, item }), { headers });

    await until('both are accepted', () => accepted.length === 2);
    expect(accepted).toEqual([
      { id: 'a', tenant: 'acme' },
      { id: 'b', tenant: 'acme' },
    ]);
    await until('both are shipped', () => /shipping .*a/.test(service.stdout) && /shipping .*b/.test(service.stdout));
    expect(service.stdout).toContain('accepted b at attempt 3');
    const dead = async () =>
      (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'orders.dead')?.messages;
    await until('the one that was refused is a dead letter', async () => (await dead()) === 1);
  }, 60_000);

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
