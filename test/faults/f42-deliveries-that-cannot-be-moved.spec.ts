import { describe, expect, it } from '@jest/globals';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { RetryOptions } from '#engine/consuming/options/retry-policy.js';
import { DEAD_LETTER_HEADERS } from '#engine/consuming/failures/move-to-dead-letters.js';
import { healthDetails } from '../../libs/rmq-keepalive/src/integrations/terminus/health-report.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { type FaultFixture, useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const PREFETCH = 4;

interface Obstacle {
  readonly code: string;
  /** So many get through before it is there. */
  readonly passes?: number;
  begins(faults: FaultFixture): Promise<unknown>;
  ends(faults: FaultFixture): Promise<unknown>;
}

const MAY_NOT_USE_QUEUE_NAMES = { configure: '.*', write: '^(?!amq\\.default$).*$', read: '.*' };

const OBSTACLES: Record<string, Obstacle> = {
  'the vhost may have no more queues': {
    code: 'RMQ_TOPOLOGY_REFUSED',
    begins: ({ broker, vhost }) => broker.limitQueues(vhost.name, 2),
    ends: ({ broker, vhost }) => broker.limitQueues(vhost.name, undefined),
  },
  'the dead-letter queue is full, and rejects': {
    code: 'RMQ_PUBLISH_NACKED',
    passes: 1,
    begins: ({ broker, vhost }) =>
      broker.setPolicy('limit', '[.]dead$', { 'max-length': 1, overflow: 'reject-publish' }, vhost.name),
    ends: ({ broker, vhost }) => broker.deletePolicy('limit', vhost.name),
  },
  'the user may only read': {
    code: 'RMQ_PUBLISH_REFUSED',
    begins: ({ broker, vhost }) => broker.setPermissions('guest', vhost.name, MAY_NOT_USE_QUEUE_NAMES),
    ends: ({ broker, vhost }) => broker.setPermissions('guest', vhost.name),
  },
};

describe('F42: when failed deliveries cannot be moved', () => {
  const faults = useFaults();

  const health = (connection: RmqConnection) => verdict(connection.status(), Date.now());
  const lines = (part: string): string[] =>
    faults.oracle.events
      .map(({ event }) => describeEvent(event))
      .filter((line) => line !== undefined && line.level !== 'debug')
      .map((line) => line?.sentence ?? '')
      .filter((sentence) => sentence.includes(part));

  /** In the queue before anybody consumes: `bad` ones, that many, then as many good ones as fit into the prefetch. */
  async function fill(bad: number): Promise<void> {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('orders');
    await channel.assertQueue('mails');
    await channel.bindQueue('mails', 'amq.topic', 'mail');
    for (let i = 0; i < bad + PREFETCH; i++)
      channel.sendToQueue('orders', Buffer.from(JSON.stringify({ id: `o${i}`, isBad: i < bad })), {
        contentType: 'application/json',
        messageId: `o${i}`,
      });
    await until('they wait', async () => (await channel.checkQueue('orders')).messageCount === bad + PREFETCH);
  }

  async function consume(retry?: RetryOptions): Promise<RmqConnection> {
    const connection = faults.connect();
    connection.subscribe<{ isBad: boolean }>({ queue: 'orders', prefetch: PREFETCH, retry }, (order, delivery) => {
      if (order.isBad) throw new Error('bad');
      faults.oracle.consume(order, delivery);
    });
    connection.subscribe({ queue: 'mails' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  const isStuck = (connection: RmqConnection) =>
    until('all that may be held are', () => connection.status().consumers.stuck[0]?.deliveries === PREFETCH);

  describe.each(Object.entries(OBSTACLES))('because %s', (_, { code, passes = 0, begins, ends }) => {
    it('health says so and since when, others go on, and it is over by itself when the obstacle is', async () => {
      await fill(PREFETCH + passes);
      await begins(faults);
      const connection = await consume();
      await isStuck(connection);

      const [held] = connection.status().consumers.stuck;
      expect(held).toMatchObject({ name: 'orders', queue: 'orders', to: 'orders.dead', code });
      expect(health(connection)).toEqual({ status: 'degraded', reason: 'deliveries-stuck', since: held?.since });
      expect(healthDetails(connection.status()).consumers.stuck).toEqual([
        { queue: 'orders', to: 'orders.dead', deliveries: PREFETCH, since: expect.stringMatching(/^20.*Z$/) },
      ]);
      expect(connection.status().consumers).toMatchObject({ attached: 2, missing: [] });
      await faults.oracle.publish(connection, 'amq.topic', 'mail', 'meanwhile');
      await until('the other subscription goes on', () => faults.oracle.consumed.has('meanwhile'));

      await ends(faults);
      await until('the good ones are handled', () => faults.oracle.consumed.size === PREFETCH + 1);
      await until('the bad ones are moved', () => connection.status().counters.deadLettered === PREFETCH + passes);
      expect(connection.status().consumers.stuck).toEqual([]);
      expect(health(connection)).toMatchObject({ status: 'up', reason: 'open' });
      await faults.oracle.publish(connection, '', 'mails', 'afterwards');
      await faults.oracle.expectNothingLost();
      expect(lines('cannot be moved to "orders.dead"')).toHaveLength(1);
      expect(lines('can be moved to "orders.dead" again')).toHaveLength(1);
      expect(faults.oracle.eventsOf('deliveries-unstuck')).toMatchObject([
        { event: { subscription: 'orders', to: 'orders.dead' } },
      ]);
    }, 20_000);
  });

  it('because no retry queue can be made: it is the same, and names that', async () => {
    await fill(PREFETCH);
    await faults.broker.limitQueues(faults.vhost.name, 2);
    const connection = await consume({ attempts: 2, firstDelayMs: 100 });
    await isStuck(connection);
    expect(connection.status().consumers.stuck).toMatchObject([{ queue: 'orders', to: 'rmq-keepalive.retry.100ms' }]);
    expect(health(connection)).toMatchObject({ status: 'degraded', reason: 'deliveries-stuck' });
    await until('it was tried again', () => faults.oracle.eventsOf('retry-failed').length > PREFETCH);
    await faults.broker.limitQueues(faults.vhost.name, undefined);
    await until('all are dead', () => connection.status().counters.deadLettered === PREFETCH);
    await until('the good ones are handled', () => faults.oracle.consumed.size === PREFETCH);
    expect(health(connection).status).toBe('up');
    expect(lines('cannot be moved to')).toHaveLength(1);
  }, 20_000);

  it('they are held for one connection only: when that ends they are with the next one at once', async () => {
    await fill(PREFETCH);
    await faults.broker.limitQueues(faults.vhost.name, 2);
    const connection = await consume();
    await isStuck(connection);
    await faults.broker.closeAllConnections();
    await until('the link was lost', () => faults.oracle.eventsOf('link-lost').length > 0);
    expect(connection.status().consumers.stuck).toEqual([]);
    await isStuck(connection);
    expect(connection.status().consumers.stuck).toHaveLength(1);
    await connection.close({ drainTimeoutMs: 500 });
    const queue = async () => (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'orders');
    await until('all are back', async () => (await queue())?.messagesReady === 2 * PREFETCH);
  }, 20_000);

  it('control: a bare consumer with as many in hand looks as well as ever', async () => {
    await fill(PREFETCH);
    await faults.broker.limitQueues(faults.vhost.name, 2);
    const bare = await bareClient(faults);
    const mover = await bare.session.createConfirmChannel();
    const returned: unknown[] = [];
    mover.on('return', (message) => returned.push(message));
    await bare.channel.prefetch(PREFETCH);
    const handled: string[] = [];
    await bare.channel.consume('orders', (message) => {
      if (message === null) return;
      handled.push(String(message.properties.messageId));
      mover.sendToQueue('orders.dead', message.content, { mandatory: true });
    });
    await until('all dead letters came back', () => returned.length === PREFETCH);
    expect(handled).toEqual(['o0', 'o1', 'o2', 'o3']);
    expect(bare).toMatchObject({ isSessionOpen: true, isChannelOpen: true, errors: [] });
    expect(await faults.broker.listConsumers(faults.vhost.name)).toHaveLength(1);
  });
});

describe('F42: when the broker refuses dead letters over and over', () => {
  const faults = useFaults();
  const HELD = 20;

  /** With a full prefetch of what cannot be moved. @returns the proxy before the broker */
  async function refused() {
    const { channel } = await bareClient(faults);
    await channel.assertExchange('shop', 'topic');
    await channel.assertQueue('work');
    await channel.assertQueue('news');
    await channel.bindQueue('news', 'shop', '#');
    for (let i = 0; i < HELD; i++) channel.sendToQueue('work', Buffer.from('"bad"'), { messageId: `m${i}` });
    await until('they wait', async () => (await channel.checkQueue('work')).messageCount === HELD);
    await faults.broker.setPermissions('guest', faults.vhost.name, MAY_NOT_USE_QUEUE_NAMES);
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    connection.subscribe({ queue: 'news' }, faults.oracle.consume);
    connection.subscribe({ queue: 'work', prefetch: HELD }, () => {
      throw new Error('bad');
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await until('all are held', () => connection.status().consumers.stuck[0]?.deliveries === HELD);
    return { proxy, connection };
  }

  it('that costs a few channels in the beginning; then one at a time tries, on a channel of its own', async () => {
    const { proxy, connection } = await refused();
    const closes = () => proxy.recorder.frames({ direction: 'to-client', method: 'channel.close' }).length;
    const tries = () => faults.oracle.eventsOf('dead-letter-failed').length;
    // Each of the twenty by itself would cost two.
    const closesAtFirst = closes();
    expect(closesAtFirst).toBeLessThanOrEqual(10);
    for (let i = 0; tries() < HELD + 2; i++) await faults.oracle.publish(connection, 'shop', 'order.created', `p${i}`);
    expect(closes() - closesAtFirst).toBeLessThanOrEqual(2 * (tries() - HELD));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    // None was in flight on a channel that the broker closed.
    expect(faults.oracle.duplicates).toBe(0);
    expect(connection.status().counters.publishFailed).toBe(0);
  }, 20_000);

  it('a replay asks once for each address, and leaves the letters where they are', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work.dead');
    const headers = { [DEAD_LETTER_HEADERS.queue]: 'work' };
    for (let i = 0; i < 5 * HELD; i++) channel.sendToQueue('work.dead', Buffer.from('"bad"'), { headers });
    await until('they are there', async () => (await channel.checkQueue('work.dead')).messageCount === 5 * HELD);
    await faults.broker.setPermissions('guest', faults.vhost.name, MAY_NOT_USE_QUEUE_NAMES);
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    await connection.start();
    const report = await connection.deadLetters.replay('work.dead');
    expect(report).toMatchObject({ replayed: 0, failed: 5 * HELD, cause: { code: 'RMQ_PUBLISH_REFUSED' } });
    expect(proxy.recorder.frames({ direction: 'to-client', method: 'channel.close' }).length).toBeLessThanOrEqual(4);
    // Given back with the reader's channel, which the broker closes for itself in its own time.
    await until('all lie there again', async () => (await channel.checkQueue('work.dead')).messageCount === 5 * HELD);
  });
});
