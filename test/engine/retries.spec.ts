import { describe, expect, it } from '@jest/globals';
import {
  DEAD_LETTER_HEADERS,
  type Delivery,
  type RetryOptions,
  type RmqConnection,
  Settlement,
  type SubscriptionOptions,
} from 'nestjs-rmq-keepalive';
import { bareClient } from '../support/bare-amqplib.js';
import { type FaultFixture, useFaults } from '../support/fault-fixture.js';
import { makeRetryQueues, untilWaiting } from '../support/retry-queues.js';
import { A_FRAME_OF_HEADERS, publishWithHeaderTable } from '../../tools/broker/raw-publish.js';
import { until } from '../support/until.js';

interface Seen {
  id: string;
  attempt: number;
  exchange: string;
  routingKey: string;
  headers: Record<string, unknown>;
  properties: Delivery['properties'];
  firstSeenAt: Date | undefined;
  at: number;
}

const QUICK: RetryOptions = { attempts: 3, firstDelayMs: 200, factor: 2 };
const QUICK_DELAYS_MS = [200, 400];

async function consuming(
  faults: FaultFixture,
  options: Partial<SubscriptionOptions>,
  handler: (seen: Seen, delivery: Delivery) => unknown,
): Promise<{ connection: RmqConnection; seen: Seen[] }> {
  await makeRetryQueues(faults, QUICK_DELAYS_MS);
  const seen: Seen[] = [];
  const connection = faults.connect();
  connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: 'order.*', ...options }, (payload, delivery) => {
    const { attempt, exchange, routingKey, headers, properties, firstSeenAt } = delivery;
    const one = {
      id: (payload as { id: string }).id,
      attempt,
      exchange,
      routingKey,
      headers: { ...headers },
      properties,
      firstSeenAt,
      at: performance.now(),
    };
    seen.push(one);
    return handler(one, delivery);
  });
  await connection.start();
  await connection.whenOpen({ timeoutMs: 5_000 });
  return { connection, seen };
}

describe.each(['classic', 'quorum'] as const)('when a handler on a %s queue fails and may try again', (type) => {
  const faults = useFaults();
  const queueOptions = { type };

  it('tries again after the delays of its policy, with the message as it was published, and succeeds', async () => {
    const { connection, seen } = await consuming(faults, { queueOptions, retry: QUICK }, ({ attempt }) => {
      if (attempt < 3) throw new Error(`failed ${attempt}`);
    });
    await connection.publisher.publish(
      'shop',
      'order.created',
      { id: 'm1' },
      { messageId: 'm1', headers: { 'x-tenant': 'a' }, type: 'order', correlationId: 'c1', expiration: 60_000 },
    );
    await until('it succeeded', () => connection.status().counters.acked === 3);
    expect(seen.map(({ attempt, exchange, routingKey }) => ({ attempt, exchange, routingKey }))).toEqual([
      { attempt: 1, exchange: 'shop', routingKey: 'order.created' },
      { attempt: 2, exchange: 'shop', routingKey: 'order.created' },
      { attempt: 3, exchange: 'shop', routingKey: 'order.created' },
    ]);
    for (const { headers, properties } of seen) {
      expect(headers).toMatchObject({ 'x-tenant': 'a' });
      expect(properties).toMatchObject({ messageId: 'm1', type: 'order', correlationId: 'c1', deliveryMode: 2 });
    }
    expect(seen[2]?.headers).toMatchObject({
      'x-retry-first-error-name': 'Error',
      'x-retry-first-error-message': 'failed 1',
    });
    expect(seen[0]?.firstSeenAt).toBeUndefined();
    expect(seen[1]?.firstSeenAt?.getTime()).toBe(seen[2]?.firstSeenAt?.getTime());
    // Never early.
    expect(seen[1]!.at - seen[0]!.at).toBeGreaterThanOrEqual(200);
    expect(seen[2]!.at - seen[1]!.at).toBeGreaterThanOrEqual(400);
    expect(connection.status().counters).toMatchObject({ delivered: 3, retried: 2, deadLettered: 0 });
    expect(faults.oracle.eventsOf('handler-failed').map(({ event }) => event.fate)).toEqual([
      { kind: 'retry', retryInMs: 200 },
      { kind: 'retry', retryInMs: 400 },
    ]);
    expect(faults.oracle.eventsOf('delivery-retried').map(({ event }) => event)).toMatchObject([
      { messageId: 'm1', attempt: 2, delayMs: 200 },
      { messageId: 'm1', attempt: 3, delayMs: 400 },
    ]);
    const { channel } = await bareClient(faults);
    for (const queue of ['work', 'rmq-keepalive.retry.200ms', 'rmq-keepalive.retry.400ms', 'rmq-keepalive.unreturned'])
      await untilWaiting(channel, queue, 0);
  });

  it('gives up after the last attempt: the dead letter says how often, since when and why', async () => {
    const { connection, seen } = await consuming(faults, { queueOptions, retry: QUICK }, ({ attempt }) => {
      throw new RangeError(`failed ${attempt}`);
    });
    await connection.publisher.publish('shop', 'order.created', { id: 'm1' }, { messageId: 'm1' });
    await until('it is dead', () => connection.status().counters.deadLettered === 1);
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const { channel } = await bareClient(faults);
    const letter = await channel.get('work.dead', { noAck: true });
    expect(letter).toMatchObject({
      properties: {
        messageId: 'm1',
        headers: {
          [DEAD_LETTER_HEADERS.reason]: 'handler-failed',
          [DEAD_LETTER_HEADERS.attempts]: 3,
          [DEAD_LETTER_HEADERS.errorName]: 'RangeError',
          [DEAD_LETTER_HEADERS.errorMessage]: 'failed 3',
          'x-retry-first-error-message': 'failed 1',
          [DEAD_LETTER_HEADERS.exchange]: 'shop',
          [DEAD_LETTER_HEADERS.routingKey]: 'order.created',
          [DEAD_LETTER_HEADERS.queue]: 'work',
          [DEAD_LETTER_HEADERS.firstSeen]: seen[2]?.firstSeenAt?.toISOString(),
        },
      },
    });
    // The broker's history of our own queues is nobody's business.
    expect(Object.keys((letter as { properties: { headers: object } }).properties.headers)).not.toContain('x-death');
    expect(faults.oracle.eventsOf('handler-failed').at(-1)?.event).toMatchObject({
      attempt: 3,
      attempts: 3,
      fate: { kind: 'dead-letter', queue: 'work.dead' },
    });
  });

  it('does not try again what `on` says no to, nor when `on` itself fails; that is reported', async () => {
    const answers: Record<string, () => unknown> = {
      no: () => false,
      throws: () => {
        throw new Error('on failed');
      },
      promises: () => Promise.reject(new Error('later')),
    };
    const { connection } = await consuming(
      faults,
      { queueOptions, retry: { ...QUICK, on: (error) => answers[(error as Error).message]?.() as boolean } },
      ({ id }) => {
        throw new Error(id);
      },
    );
    for (const id of Object.keys(answers)) await connection.publisher.publish('shop', 'order.created', { id });
    await until('all are dead', () => connection.status().counters.deadLettered === 3);
    expect(connection.status().counters).toMatchObject({ delivered: 3, retried: 0 });
    const reported = faults.oracle.eventsOf('listener-failed').map(({ event }) => event);
    expect(reported).toMatchObject([
      { event: 'retry.on of "work"', cause: { message: 'on failed' } },
      { event: 'retry.on of "work"', cause: { message: expect.stringMatching(/promise/) } },
    ]);
  });

  it('keeps its prefetch free while messages wait', async () => {
    const { connection, seen } = await consuming(
      faults,
      { queueOptions, prefetch: 1, retry: { attempts: 2, firstDelayMs: 20_000 } },
      ({ id }) => {
        if (id.startsWith('bad')) throw new Error('no');
      },
    );
    for (const id of ['bad-1', 'bad-2', 'bad-3', 'good'])
      await connection.publisher.publish('shop', 'order.created', { id });
    await until('the good one came through', () => seen.some(({ id }) => id === 'good'));
    const { channel } = await bareClient(faults);
    await untilWaiting(channel, 'rmq-keepalive.retry.20000ms', 3);
  });

  it('waits as long as the handler asks, without counting it as a failure, also with no policy', async () => {
    const { connection, seen } = await consuming(faults, { queueOptions }, ({ firstSeenAt }) =>
      firstSeenAt === undefined ? Settlement.retryIn(130) : undefined,
    );
    await connection.publisher.publish('shop', 'order.created', { id: 'm1' });
    await until('it came again', () => connection.status().counters.acked === 2);
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(seen[1]).toMatchObject({ exchange: 'shop', routingKey: 'order.created' });
    expect(seen[1]!.at - seen[0]!.at).toBeGreaterThanOrEqual(150);
    const { channel } = await bareClient(faults);
    await untilWaiting(channel, 'rmq-keepalive.retry.150ms', 0);
    expect(faults.oracle.eventsOf('handler-failed')).toEqual([]);
  });

  it('counts what the handler asks for when told to, up to the attempts of the policy', async () => {
    const { connection, seen } = await consuming(faults, { queueOptions, retry: QUICK }, () =>
      Settlement.retryIn(100, { countsAsAttempt: true }),
    );
    await connection.publisher.publish('shop', 'order.created', { id: 'm1' });
    const dead = await until('it is dead', () => faults.oracle.eventsOf('delivery-dead-lettered')[0]);
    expect(dead.event).toMatchObject({ reason: 'attempts-spent' });
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(connection.status().counters).toMatchObject({ retried: 2, deadLettered: 1 });
  });

  it('shares retry queues with other subscriptions, and every message comes back to its own queue', async () => {
    await makeRetryQueues(faults, QUICK_DELAYS_MS);
    const connection = faults.connect();
    const seen: string[] = [];
    for (const queue of ['one', 'two', 'three'])
      connection.subscribe(
        { queue, queueOptions, exchange: 'all', exchangeType: 'fanout', retry: QUICK },
        (_, delivery) => {
          seen.push(`${delivery.queue} ${delivery.attempt}`);
          if (delivery.queue !== 'two' && delivery.attempt === 1) throw new Error('not yet');
        },
      );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await connection.publisher.publish('all', '', { id: 'm1' });
    await until('all are done', () => connection.status().counters.acked === 5);
    expect(seen.toSorted()).toEqual(['one 1', 'one 2', 'three 1', 'three 2', 'two 1']);
    const names = (await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('rmq-keepalive.retry')).sort()).toEqual([
      'rmq-keepalive.retry.200ms',
      'rmq-keepalive.retry.400ms',
    ]);
  });

  it('keeps what comes back when its queue is gone, and holds up nobody else', async () => {
    const retry = { attempts: 2, firstDelayMs: 3_000 };
    await makeRetryQueues(faults, [3_000]);
    const { connection, seen } = await consuming(faults, { queueOptions, retry }, ({ attempt }) => {
      if (attempt === 1) throw new Error('not yet');
    });
    const leaving = connection.subscribe({ queue: 'leaving', queueOptions, retry }, () => {
      throw new Error('no');
    });
    // More than a retry queue would hold on to before it stops moving anything.
    for (let i = 0; i < 40; i++) await connection.publisher.sendToQueue('leaving', { id: `gone-${i}` });
    await until('all wait', () => connection.status().counters.retried === 40);
    await leaving.unsubscribe();
    await faults.broker.deleteQueue('leaving', faults.vhost.name);
    for (let i = 0; i < 5; i++) await connection.publisher.publish('shop', 'order.created', { id: `m${i}` });
    await until('the others came again', () => seen.filter(({ attempt }) => attempt === 2).length === 5);
    const { channel } = await bareClient(faults);
    await untilWaiting(channel, 'rmq-keepalive.unreturned', 40);
  });
});

describe('when a message that is tried again has a history', () => {
  const faults = useFaults();

  it("comes back although the broker dead-lettered it before, out of this very queue: it is no round trip of the broker's", async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', {
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'aside' },
    });
    await channel.assertQueue('aside', {
      arguments: { 'x-message-ttl': 50, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'work' },
    });
    const { connection, seen } = await consuming(
      faults,
      {
        queueOptions: { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'aside' } },
        retry: QUICK,
      },
      (_, delivery) => {
        if (seen.length === 1) return void delivery.reject();
        if (seen.length < 4) throw new Error('again');
      },
    );
    await connection.publisher.publish('shop', 'order.created', { id: 'm1' });
    await until('it came four times', () => seen.length === 4);
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 3]);
  });

  it('has its copies routed nowhere else: CC, BCC and a foreign user id are left behind', async () => {
    const { connection, seen } = await consuming(faults, { retry: QUICK }, ({ attempt }) => {
      if (attempt === 1) throw new Error('again');
    });
    const { channel } = await bareClient(faults);
    await channel.assertQueue('copies');
    channel.sendToQueue('work', Buffer.from('{"id":"m1"}'), { CC: ['copies'], BCC: ['copies'], userId: 'guest' });
    await until('it came again', () => connection.status().counters.acked === 2);
    expect((await channel.checkQueue('copies')).messageCount).toBe(1);
    expect(seen[1]?.headers).not.toHaveProperty('CC');
  });

  it('cannot pretend where it came from or how often it was tried, when it came by an exchange', async () => {
    const { connection, seen } = await consuming(faults, { retry: QUICK }, () => undefined);
    await connection.publisher.publish(
      'shop',
      'order.created',
      { id: 'm1' },
      { headers: { 'x-origin-exchange': 'bank', 'x-origin-routing-key': 'pay', 'x-retry-attempt': 99 } },
    );
    await until('it came', () => seen.length === 1);
    expect(seen[0]).toMatchObject({ exchange: 'shop', routingKey: 'order.created', attempt: 1 });
  });

  it('is not tried again when its headers have no room for ours: it is dead at once, with its body', async () => {
    const { connection } = await consuming(faults, { retry: QUICK }, () => {
      throw new Error('no');
    });
    const channel = await (await bareClient(faults)).session.createConfirmChannel();
    await publishWithHeaderTable(channel, 'work', { body: Buffer.from('{"id":"m1"}'), table: A_FRAME_OF_HEADERS });
    await until('it is dead', () => connection.status().counters.deadLettered === 1);
    expect(connection.status().counters).toMatchObject({ delivered: 1, retried: 0 });
  });
});

describe('when a queue cannot have messages back', () => {
  const faults = useFaults();

  it('keeps in hand what the handler of an own queue wants later, and gets it again', async () => {
    const connection = faults.connect();
    const at: number[] = [];
    connection.subscribe({ queue: '', name: 'own' }, () =>
      at.push(performance.now()) === 1 ? Settlement.retryIn(200) : undefined,
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const [own] = await faults.broker.listQueues(faults.vhost.name);
    await connection.publisher.sendToQueue(own!.name, { id: 'm1' });
    await until('it came again', () => at.length === 2);
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(199);
  });

  it.each([
    ['server-named', { queue: '', name: 'own' }],
    ['exclusive', { queue: 'mine', queueOptions: { exclusive: true } }],
    ['stream', { queue: 'log', queueOptions: { type: 'stream' } }],
  ] as const)('refuses retry at boot for a %s queue, with the reason', (_, options) => {
    const connection = faults.connect();
    expect(() => connection.subscribe({ ...options, retry: {} } as SubscriptionOptions, () => undefined)).toThrow(
      expect.objectContaining({ code: 'RMQ_OPTIONS_INVALID', message: expect.stringMatching(/\.retry: a /) }),
    );
  });
});
