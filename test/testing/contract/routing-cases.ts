/** Which queue gets what: exchanges, bindings, and messages that nobody wants. */
import { expect, it } from '@jest/globals';
import type { ConfirmChannel, Message, Options } from 'amqplib';
import type { HarnessFixture } from '../../support/harness-fixture.js';

type Headers = Record<string, unknown>;

export function routingCases(at: HarnessFixture): void {
  it.each([
    ['direct', 'a.b', 'a.b', true],
    ['direct', 'a.b', 'a.c', false],
    ['fanout', 'whatever', 'a.c', true],
    ['topic', 'order.*', 'order.created', true],
    ['topic', 'order.*', 'order.created.eu', false],
    ['topic', 'order.#', 'order', true],
    ['topic', '#.eu', 'order.created.eu', true],
    ['topic', '*.created', 'created', false],
  ])('a %s exchange with the binding %p takes %p: %p', async (type, bound, routingKey, isTaken) => {
    const channel = await at.channel();
    await channel.assertExchange('x', type);
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'x', bound);
    await published(channel, 'x', routingKey);
    expect((await channel.checkQueue('q')).messageCount).toBe(isTaken ? 1 : 0);
  });

  it.each<[Headers, Headers, boolean]>([
    [{ 'x-match': 'all', a: '1', b: 2 }, { a: '1', b: 2, c: 3 }, true],
    [{ 'x-match': 'all', a: '1', b: 2 }, { a: '1' }, false],
    [{ 'x-match': 'any', a: '1', b: 2 }, { b: 2 }, true],
    [{ 'x-match': 'any', a: '1', b: 2 }, { b: 3 }, false],
    [{ 'x-match': 'all', 'x-kind': 'other' }, { a: '1' }, true],
  ])('a headers exchange with the binding %p takes %p: %p', async (wanted, headers, isTaken) => {
    const channel = await at.channel();
    await channel.assertExchange('x', 'headers');
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'x', '', wanted);
    await published(channel, 'x', '', { headers });
    expect((await channel.checkQueue('q')).messageCount).toBe(isTaken ? 1 : 0);
  });

  it('a queue that two bindings lead to gets a message once', async () => {
    const channel = await at.channel();
    await channel.assertExchange('x', 'topic');
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'x', 'a.*');
    await channel.bindQueue('q', 'x', '#');
    await published(channel, 'x', 'a.b');
    expect((await channel.checkQueue('q')).messageCount).toBe(1);
  });

  it('an exchange bound to an exchange hands on, until it is unbound', async () => {
    const channel = await at.channel();
    await channel.assertExchange('outer', 'topic');
    await channel.assertExchange('inner', 'fanout');
    await channel.assertQueue('q');
    await channel.bindExchange('inner', 'outer', 'a.*');
    await channel.bindQueue('q', 'inner', '');
    await published(channel, 'outer', 'a.b');
    await channel.unbindExchange('inner', 'outer', 'a.*');
    await published(channel, 'outer', 'a.b');
    expect((await channel.checkQueue('q')).messageCount).toBe(1);
  });

  it('an alternate exchange takes what nobody wanted, and is no reason for a return', async () => {
    const channel = await at.channel();
    await channel.assertExchange('else', 'fanout');
    await channel.assertExchange('x', 'direct', { alternateExchange: 'else' });
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'else', '');
    const returned: Message[] = [];
    channel.on('return', (message: Message) => returned.push(message));
    await published(channel, 'x', 'nobody', { mandatory: true });
    expect((await channel.checkQueue('q')).messageCount).toBe(1);
    expect(returned).toEqual([]);
  });

  it('a mandatory message that no queue wants comes back before its confirm', async () => {
    const channel = await at.channel();
    await channel.assertExchange('x', 'direct');
    const returned: Message[] = [];
    channel.on('return', (message: Message) => returned.push(message));
    await published(channel, 'x', 'nobody', { mandatory: true, messageId: 'm1' });
    expect(returned).toMatchObject([
      { fields: { replyCode: 312, replyText: 'NO_ROUTE', exchange: 'x', routingKey: 'nobody' } },
    ]);
    expect(returned[0]?.properties.messageId).toBe('m1');
  });

  it('CC and BCC are routing keys too, and nobody is told of those in BCC', async () => {
    const channel = await at.channel();
    for (const queue of ['to', 'cc', 'bcc']) await channel.assertQueue(queue);
    await published(channel, '', 'to', { headers: { CC: ['cc'], BCC: ['bcc'], keep: 'me' } });
    for (const queue of ['to', 'cc', 'bcc']) {
      const message = await channel.get(queue, { noAck: true });
      expect(message && message.properties.headers).toEqual({ CC: ['cc'], keep: 'me' });
    }
  });

  it('a deleted exchange takes its bindings along', async () => {
    const channel = await at.channel();
    await channel.assertExchange('x', 'fanout');
    await channel.assertQueue('q');
    await channel.bindQueue('q', 'x', '');
    await channel.deleteExchange('x');
    await channel.assertExchange('x', 'fanout');
    await published(channel, 'x', '');
    expect((await channel.checkQueue('q')).messageCount).toBe(0);
  });

  it('what was published arrives as it was: a large body, properties, headers of every type', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    const body = Buffer.alloc(300_000, 'b');
    const headers = {
      text: 'ü',
      int: 7,
      big: 2 ** 40,
      float: 1.5,
      yes: true,
      none: null,
      list: [1, 'two'],
      table: { a: 1 },
    };
    const properties = {
      ...{ contentType: 'text/plain', contentEncoding: 'gzip', correlationId: 'c1', replyTo: 'r1', messageId: 'm1' },
      ...{ timestamp: 1_700_000_000, type: 't1', userId: 'guest', appId: 'a1', priority: 3, deliveryMode: 2 },
    };
    await published(channel, '', 'q', { ...properties, persistent: true, headers }, body);
    const message = (await channel.get('q', { noAck: true })) as Message;
    expect(message.content.equals(body)).toBe(true);
    expect(message.properties).toMatchObject({ ...properties, headers });
    expect(message.fields).toMatchObject({ exchange: '', routingKey: 'q', redelivered: false, messageCount: 0 });
  });
}

export async function published(
  channel: ConfirmChannel,
  exchange: string,
  routingKey: string,
  options: Options.Publish = {},
  content: Buffer = Buffer.from('{}'),
): Promise<void> {
  channel.publish(exchange, routingKey, content, options);
  await channel.waitForConfirms();
}
