import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage, GetMessage } from 'amqplib';
import { type RmqConnection, Settlement, type SubscriptionOptions } from 'nestjs-rmq-keepalive';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { headersOf, publishWithHeaderTable } from '../../tools/broker/raw-publish.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Above every limit that is set here. */
const RETURNS = 25;

interface QueueKind {
  readonly queue: string;
  readonly type: 'quorum' | 'classic';
  readonly argument?: number;
  readonly policy?: number;
}
const QUEUES: readonly QueueKind[] = [
  // The default since RabbitMQ 4.0; before, there is none.
  { queue: 'quorum', type: 'quorum', policy: 20 },
  { queue: 'quorum-argument-3', type: 'quorum', argument: 3 },
  { queue: 'quorum-policy-3', type: 'quorum', policy: 3 },
  { queue: 'classic', type: 'classic' },
];

describe('F39: when a queue counts how often a message came back', () => {
  const faults = useFaults();

  async function limited({ queue, type, argument, policy }: QueueKind): Promise<SubscriptionOptions> {
    if (policy !== undefined)
      await faults.broker.setPolicy(queue, `^${queue}$`, { 'delivery-limit': policy }, faults.vhost.name);
    return { queue, queueOptions: { type, arguments: argument === undefined ? {} : { 'x-delivery-limit': argument } } };
  }

  async function messagesIn(...names: string[]): Promise<number> {
    const queues = await faults.broker.listQueues(faults.vhost.name);
    return queues.filter(({ name }) => names.includes(name)).reduce((sum, { messages }) => sum + messages, 0);
  }

  const deadLettersOf = (connection: RmqConnection): number => connection.status().counters.deadLettered;

  /** In the queue, given back twice in the way that every broker counts. */
  async function returnedTwice(kind: QueueKind, body: Buffer, table?: Buffer): Promise<void> {
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    await limited(kind);
    await channel.assertQueue(kind.queue, { arguments: { 'x-queue-type': kind.type } });
    if (table === undefined) channel.sendToQueue(kind.queue, body, { persistent: true, messageId: 'm1' });
    else await publishWithHeaderTable(channel, kind.queue, { body, table });
    await channel.waitForConfirms();
    for (let returns = 0; returns < 2; returns++)
      channel.reject((await until('it is there', () => channel.get(kind.queue))) as GetMessage, true);
    await session.close();
  }

  const renewedIn = (subscription: string): number =>
    faults.oracle.eventsOf('delivery-renewed').filter(({ event }) => event.subscription === subscription).length;

  it.each(QUEUES)('a handler that requeues its message 25 times gets it once more ($queue)', async (kind) => {
    const connection = faults.connect();
    let runs = 0;
    connection.subscribe(await limited(kind), () => (++runs <= RETURNS ? Settlement.requeue() : undefined));
    await started(connection);
    await faults.oracle.publish(connection, '', kind.queue, 'm1');
    await until('it was handled', () => runs > RETURNS);
    await until('the queue is empty', async () => (await messagesIn(kind.queue)) === 0);
    expect([runs, deadLettersOf(connection)]).toEqual([RETURNS + 1, 0]);
    // RabbitMQ 4.3 does not count what is given back in order.
    const counts = kind.type === 'quorum' && !faults.broker.version.startsWith('4.3');
    expect(renewedIn(kind.queue) > 0).toBe(counts);
  });

  it('messages that are in hand when 25 links are lost are handled after all', async () => {
    const connection = faults.connect({ reconnect: { maxDelayMs: 100 } });
    const runs = new Map<string, Delivery[]>(QUEUES.map(({ queue }) => [queue, []]));
    for (const kind of QUEUES)
      connection.subscribe(await limited(kind), async (_, delivery) => {
        const before = runs.get(kind.queue)?.push(delivery) ?? 0;
        if (before <= RETURNS) await new Promise((resolve) => delivery.signal.addEventListener('abort', resolve));
      });
    await started(connection);
    for (const { queue } of QUEUES) await faults.oracle.publish(connection, '', queue, queue);
    for (let lost = 1; lost <= RETURNS; lost++) {
      await until(`all are in hand for the ${lost}. time`, () => [...runs.values()].every((of) => of.length >= lost));
      await faults.broker.closeAllConnections('maintenance');
    }
    await until('all were handled', () => [...runs.values()].every((of) => of.length > RETURNS));
    await until('the queues are empty', async () => (await messagesIn(...runs.keys())) === 0);
    expect(deadLettersOf(connection)).toBe(0);
    for (const { queue, type } of QUEUES) {
      const [first, ...again] = runs.get(queue) ?? [];
      expect(first?.redelivered).toBe(false);
      expect(again.every(({ redelivered, messageId }) => redelivered && messageId === queue)).toBe(true);
      expect(renewedIn(queue) > 0).toBe(type === 'quorum');
    }
  });

  // With a limit of 3 one link may be lost between a message's return and its copy, and not a second one before it is copied.
  it.each([
    { policy: 20, when: 'one soon after the other', atOnce: 1_000 },
    { policy: 3, when: 'each when what came back from the one before is done', atOnce: 125 },
  ])('of 1,000 messages each is handled or a dead letter while 8 links are lost ($policy: $when)', async (losses) => {
    const kind = { queue: 'work', type: 'quorum', policy: losses.policy } as const;
    const connection = faults.connect({ reconnect: { maxDelayMs: 100 } });
    const handled = new Map<string, number>();
    const requeued = new Map<string, number>();
    connection.subscribe<{ n?: number }>({ ...(await limited(kind)), prefetch: 50 }, async ({ n }, { signal }) => {
      const key = n === undefined ? 'tick' : `${n}`;
      if (n !== undefined && n % 10 === 0) throw new Error('broken');
      if (n !== undefined && n % 10 === 1) {
        const before = requeued.get(key) ?? 0;
        requeued.set(key, before + 1);
        if (before < 5) return Settlement.requeue();
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (!signal.aborted) handled.set(key, (handled.get(key) ?? 0) + 1);
      return undefined;
    });
    await started(connection);
    let n = 0;
    for (let lost = 0; lost < 8; lost++) {
      const { delivered } = connection.status().counters;
      const { session } = await bareClient(faults);
      const channel = await session.createConfirmChannel();
      for (const end = Math.min(1_000, n + losses.atOnce); n < end; n++) {
        // A hundred that nobody can tell from each other.
        const body = n < 900 ? { n } : {};
        const messageId = n < 600 ? `m${n}` : undefined;
        channel.sendToQueue('work', Buffer.from(JSON.stringify(body)), { messageId, persistent: true });
      }
      await channel.waitForConfirms();
      await until('some are in hand', () => connection.status().counters.delivered > delivered + 20);
      await faults.broker.closeAllConnections('maintenance');
      if (losses.atOnce < 1_000) await until('what came back is done', async () => (await messagesIn('work')) === 0);
    }
    const isDone = (): boolean =>
      handled.size === 811 && (handled.get('tick') ?? 0) >= 100 && deadLettersOf(connection) >= 90;
    await until('all are handled or dead', isDone, { timeoutMs: 20_000 });
    await until('none waits', async () => (await messagesIn('work')) === 0);
    const letters = await connection.deadLetters.list('work.dead', { limit: 1_000 });
    expect(new Set(letters.map(({ reason }) => reason))).toEqual(new Set(['handler-failed']));
    const dead = new Set(letters.map(({ payload }) => (payload as { n: number }).n));
    expect(dead.size).toBe(90);
    expect([...dead].filter((n) => handled.has(`${n}`))).toEqual([]);
  });

  it.each([['by what its handler returns', false] as const, ['by hand, with deduplicate', true] as const])(
    'a message whose copy cannot be sent is handled, and requeued it waits for its copy (%s)',
    async (_, byHand) => {
      const kind = { queue: 'work', type: 'quorum', policy: 3 } as const;
      await returnedTwice(kind, Buffer.from('{}'));
      await faults.broker.setPermissions('guest', faults.vhost.name, {
        configure: '.*',
        write: '^(?!amq\\.default).*$',
        read: '.*',
      });
      const connection = faults.connect();
      let runs = 0;
      const options = {
        ...(await limited(kind)),
        ...(byHand && { deduplicate: { ttlMs: 60_000 } }),
      };
      connection.subscribe(options, (_payload, delivery) => {
        const wantsIt = ++runs > RETURNS;
        if (!byHand) return wantsIt ? undefined : Settlement.requeue();
        return void (wantsIt ? delivery.ack() : delivery.requeue());
      });
      await started(connection);
      await until('it was tried', () => faults.oracle.eventsOf('renewal-failed').length > 0);
      await until('it is still there', async () => (await messagesIn('work')) === 1);
      expect(runs).toBe(1);
      expect(faults.oracle.eventsOf('redelivery-not-counted')).toHaveLength(1);
      expect(faults.oracle.eventsOf('deliveries-stuck')[0]?.event).toMatchObject({ subscription: 'work', to: 'work' });
      await faults.broker.setPermissions('guest', faults.vhost.name);
      await until('it was handled', () => runs > RETURNS, { timeoutMs: 20_000 });
      await until('the queue is empty', async () => (await messagesIn('work')) === 0);
    },
  );

  it('a message that no copy can be made of is dead-lettered, with the reason', async () => {
    const kind = { queue: 'work', type: 'quorum', policy: 3 } as const;
    // Room for the broker's count, but not for ours.
    await returnedTwice(kind, Buffer.from('{}'), headersOf(131_000));
    const connection = faults.connect();
    let runs = 0;
    connection.subscribe(await limited(kind), () => void (runs += 1));
    await started(connection);
    await until('it is a dead letter', () => deadLettersOf(connection) === 1);
    const [letter] = await connection.deadLetters.list('work.dead');
    expect(letter).toMatchObject({ reason: 'delivery-limit', error: { name: 'DeliveryLimitError' } });
    expect(letter?.error?.message).toMatch(/came back to queue "work" 2 times/);
    await until('the queue is empty', async () => (await messagesIn('work')) === 0);
    expect(runs).toBe(0);
  });

  it.each(['quorum', 'classic'] as const)('a count that a publisher made up costs one hop (%s)', async (type) => {
    const connection = faults.connect();
    let runs = 0;
    const queueOptions = { type };
    connection.subscribe({ queue: 'work', queueOptions }, () => (++runs <= 1 ? Settlement.requeue() : undefined));
    await started(connection);
    const headers = { 'x-delivery-count': 1_000, 'x-acquired-count': 1_000, 'x-renewal-count': 7 };
    await connection.publisher.sendToQueue('work', {}, { messageId: 'm1', headers });
    await until('it was handled', () => runs === 2);
    await until('the queue is empty', async () => (await messagesIn('work')) === 0);
    expect(renewedIn('work')).toBeLessThanOrEqual(1);
    expect(deadLettersOf(connection)).toBe(0);
  });

  it('with an order and a limit that is known, what lost 4 links comes in that order', async () => {
    const connection = faults.connect({ reconnect: { maxDelayMs: 100 } });
    const kind = { queue: 'work', type: 'quorum', argument: 20 } as const;
    const ended: string[] = [];
    let begun = 0;
    connection.subscribe({ ...(await limited(kind)), orderedBy: () => 'all' }, async (_, { messageId, signal }) => {
      begun += 1;
      if (begun <= 4) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      if (!signal.aborted) ended.push(messageId ?? '');
    });
    await started(connection);
    const ids = ['m1', 'm2', 'm3', 'm4', 'm5'];
    for (const id of ids) await faults.oracle.publish(connection, '', 'work', id);
    for (let lost = 1; lost <= 4; lost++) {
      await until(`the first is in hand for the ${lost}. time`, () => begun >= lost);
      await faults.broker.closeAllConnections('maintenance');
    }
    await until('all are handled', () => ended.length === ids.length);
    expect(ended).toEqual(ids);
    expect(renewedIn('work')).toBe(0);
  });

  it('control: amqplib alone loses it without a word', async () => {
    const { channel, errors } = await bareClient(faults);
    const { queue } = await limited(QUEUES[0] as QueueKind);
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue(queue, Buffer.from('{}'), { persistent: true });
    let runs = 0;
    await channel.consume(queue, (message) => {
      runs += 1;
      channel.reject(message as ConsumeMessage, true);
    });
    await until('it is gone', async () => runs > 20 && (await messagesIn(queue)) === 0);
    expect([runs, errors]).toEqual([21, []]);
  });
});
