/** How long a queue keeps a message, and where it goes then. */
import { expect, it } from '@jest/globals';
import type { ConfirmChannel, GetMessage, Options } from 'amqplib';
import type { HarnessFixture } from '../../support/harness-fixture.js';
import { until } from '../../support/until.js';
import { published } from './routing-cases.js';

interface DeathRow {
  readonly queue: string;
  readonly reason: string;
  readonly count: number;
  readonly exchange: string;
  readonly 'routing-keys': readonly string[];
}

/** Long enough that nothing else takes so long, short enough that a real broker can be waited for. */
const TTL_MS = 300;

export function queueCases(at: HarnessFixture): void {
  const withDeadLetters = async (options: Options.AssertQueue): Promise<ConfirmChannel> => {
    const channel = await at.channel();
    await channel.assertExchange('dlx', 'fanout');
    await channel.assertQueue('dead');
    await channel.bindQueue('dead', 'dlx', '');
    await channel.assertQueue('q', { deadLetterExchange: 'dlx', ...options });
    return channel;
  };
  const theDead = async (channel: ConfirmChannel): Promise<GetMessage> =>
    until('a message is dead-lettered', () => channel.get('dead', { noAck: true }));

  it('a message that is given back takes its old place, marked as redelivered', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    for (const text of ['1', '2', '3']) await published(channel, '', 'q', {}, Buffer.from(text));
    const first = (await channel.get('q')) as GetMessage;
    channel.nack(first, false, true);
    const again = (await channel.get('q')) as GetMessage;
    expect([first, again].map(({ content, fields }) => [String(content), fields.redelivered])).toEqual([
      ['1', false],
      ['1', true],
    ]);
    channel.ack(again);
    expect(String(((await channel.get('q')) as GetMessage).content)).toBe('2');
  });

  it.each([
    ['classic', '1 2 3 4 5 6', '1 2 3 4 5 6'],
    // The end of the queue in 3.10, where nothing was handed out before 5.
    ['quorum', '4 1 3 2 5 6', '5 6 4 1 3 2'],
  ])('a %s queue has its own order for what comes back', async (type, order, in310) => {
    const channel = await at.channel();
    await channel.assertQueue('q', { arguments: { 'x-queue-type': type } });
    for (const text of '123456') await published(channel, '', 'q', {}, Buffer.from(text));
    const [one, two, three, four] = [0, 0, 0, 0].map(() => channel.get('q')) as Promise<GetMessage>[];
    for (const message of [four, one, three, two]) {
      channel.nack((await message) as GetMessage, false, true);
      // A request after it: the broker has read the one before.
      await channel.checkQueue('q');
    }
    const found: string[] = [];
    while (found.length < 6)
      found.push(String((await until('one is there', () => channel.get('q', { noAck: true }))).content));
    expect(found.join(' ')).toBe(at.harness.version.startsWith('3.10') ? in310 : order);
  });

  it('a rejected message is dead-lettered, with its history', async () => {
    const channel = await withDeadLetters({});
    await published(channel, '', 'q', { messageId: 'm1', headers: { mine: 1 } });
    channel.nack((await channel.get('q')) as GetMessage, false, false);
    const { fields, properties } = await theDead(channel);
    expect(fields).toMatchObject({ exchange: 'dlx', routingKey: 'q' });
    expect(properties.messageId).toBe('m1');
    expect(properties.headers).toMatchObject({
      mine: 1,
      'x-first-death-queue': 'q',
      'x-first-death-reason': 'rejected',
      'x-first-death-exchange': '',
    });
    expect(deathsOf(properties.headers)).toEqual([
      expect.objectContaining({ queue: 'q', reason: 'rejected', count: 1, exchange: '', 'routing-keys': ['q'] }),
    ]);
  });

  it('a message that dies twice in one queue counts twice', async () => {
    const channel = await at.channel();
    await channel.assertQueue('back', { deadLetterExchange: '', deadLetterRoutingKey: 'q', messageTtl: TTL_MS });
    await channel.assertQueue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'back' });
    await published(channel, '', 'q');
    for (let death = 0; death < 2; death++) {
      const message = await until('it is there', () => channel.get('q'));
      channel.nack(message, false, false);
      await until('it waits', async () => (await channel.checkQueue('back')).messageCount === 1);
      await at.harness.advance(TTL_MS);
    }
    const { properties } = await until('it is there', () => channel.get('q', { noAck: true }));
    expect(deathsOf(properties.headers).map(({ queue, reason, count }) => [queue, reason, count])).toEqual([
      ['back', 'expired', 2],
      ['q', 'rejected', 2],
    ]);
  });

  it('a rejected message of a queue without dead letters is gone', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    await published(channel, '', 'q');
    channel.nack((await channel.get('q')) as GetMessage, false, false);
    await expect(channel.get('q')).resolves.toBe(false);
  });

  it('a routing key of its own replaces that of a dead letter', async () => {
    const channel = await at.channel();
    await channel.assertQueue('dead');
    await channel.assertQueue('q', { deadLetterExchange: '', deadLetterRoutingKey: 'dead' });
    await published(channel, '', 'q');
    channel.nack((await channel.get('q')) as GetMessage, false, false);
    expect((await theDead(channel)).fields.routingKey).toBe('dead');
  });

  it.each<[string, Options.AssertQueue, Options.Publish]>([
    ['of the queue', { messageTtl: TTL_MS }, {}],
    ['of its own', {}, { expiration: TTL_MS }],
    ['the shorter of both', { messageTtl: 3_600_000 }, { expiration: TTL_MS }],
  ])('a message expires when its time to live is over: %s', async (_, queue, message) => {
    const channel = await withDeadLetters(queue);
    await published(channel, '', 'q', message);
    await at.harness.advance(TTL_MS);
    const { properties } = await theDead(channel);
    expect(deathsOf(properties.headers)).toMatchObject([{ queue: 'q', reason: 'expired', count: 1 }]);
    expect(properties.expiration).toBeUndefined();
  });

  it('a message waits for its time to live', async () => {
    const channel = await withDeadLetters({ messageTtl: 3_600_000 });
    await published(channel, '', 'q');
    await at.harness.advance(TTL_MS);
    expect((await channel.checkQueue('q')).messageCount).toBe(1);
    await expect(channel.get('dead')).resolves.toBe(false);
  });

  it('a message that would go round by itself is dropped', async () => {
    const channel = await at.channel();
    const options = { deadLetterExchange: '', deadLetterRoutingKey: 'q', messageTtl: TTL_MS };
    await channel.assertQueue('q', options);
    await published(channel, '', 'q');
    await at.harness.advance(TTL_MS);
    await until('it is gone', async () => (await channel.checkQueue('q')).messageCount === 0);
  });

  it('a queue that is full pushes its oldest message out', async () => {
    const channel = await withDeadLetters({ maxLength: 2 });
    for (const text of ['1', '2', '3']) await published(channel, '', 'q', {}, Buffer.from(text));
    const { content, properties } = await theDead(channel);
    expect(String(content)).toBe('1');
    expect(deathsOf(properties.headers)).toMatchObject([{ reason: 'maxlen' }]);
  });

  it('a queue that is full refuses a message where it is told to, and the publisher hears it', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } });
    await published(channel, '', 'q');
    await expect(published(channel, '', 'q')).rejects.toThrow();
    expect((await channel.checkQueue('q')).messageCount).toBe(1);
  });

  it('a quorum queue counts how often a message came back, and gives it up at its limit', async () => {
    const channel = await withDeadLetters({ arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 } });
    await published(channel, '', 'q');
    const counts: unknown[] = [];
    await channel.consume('q', (message) => {
      counts.push(message?.properties.headers?.['x-delivery-count']);
      if (message) channel.reject(message, true);
    });
    const { properties } = await theDead(channel);
    expect(deathsOf(properties.headers)).toMatchObject([{ queue: 'q', reason: 'delivery_limit' }]);
    expect(counts).toEqual([undefined, 1, 2]);
  });

  it('a queue that nobody uses is deleted when it was told so', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { expires: TTL_MS });
    await at.harness.advance(TTL_MS);
    await until('it is gone', () => isGone(at, 'q'));
  });

  it('an auto-delete queue goes with its last consumer', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { autoDelete: true });
    const { consumerTag } = await channel.consume('q', () => undefined);
    await channel.cancel(consumerTag);
    await expect(isGone(at, 'q')).resolves.toBe(true);
  });

  it('an exclusive queue goes with its connection', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { exclusive: true });
    await at.hangUp(channel);
    await until('it is gone', () => isGone(at, 'q'));
  });

  it('a queue without a name gets one of the broker', async () => {
    const channel = await at.channel();
    const [one, other] = [await channel.assertQueue(''), await channel.assertQueue('')];
    expect(one.queue).toMatch(/^amq\.gen-/);
    expect(other.queue).not.toBe(one.queue);
  });

  it('a purge empties a queue and says how many there were', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    for (let count = 0; count < 3; count++) await published(channel, '', 'q');
    await expect(channel.purgeQueue('q')).resolves.toEqual({ messageCount: 3 });
    await expect(channel.get('q')).resolves.toBe(false);
  });

  it('a queue with priorities hands out the highest first', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { maxPriority: 5 });
    for (const priority of [1, 5, 3, 9]) await published(channel, '', 'q', { priority }, Buffer.from(`${priority}`));
    const order: string[] = [];
    for (let count = 0; count < 4; count++)
      order.push(String(((await channel.get('q', { noAck: true })) as GetMessage).content));
    expect(order).toEqual(['5', '9', '3', '1']);
  });

  it('a deleted queue cancels its consumers', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    const heard: unknown[] = [];
    await channel.consume('q', (message) => heard.push(message));
    await (await at.channel()).deleteQueue('q');
    await until('the consumer is cancelled', () => heard.length > 0);
    expect(heard).toEqual([null]);
  });
}

function deathsOf(headers: Record<string, unknown> | undefined): readonly DeathRow[] {
  return (headers?.['x-death'] ?? []) as readonly DeathRow[];
}

/** Asked on a channel of its own: the broker closes it when there is none. */
async function isGone(at: HarnessFixture, queue: string): Promise<boolean> {
  const channel = await at.channel();
  return channel.checkQueue(queue).then(
    () => false,
    () => true,
  );
}
