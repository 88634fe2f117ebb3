import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import type { PrivateBroker } from '#testing/real/private-broker.js';
import { type ClusterVhost, PrivateCluster } from '../../tools/broker/private-cluster.js';
import { Oracle } from '../support/oracle.js';
import { until } from '../support/until.js';

const LIMIT_MS = 1_000;
/** From the limit to the first confirm elsewhere, on a machine with too much to do. */
const SLACK_MS = 4_000;
/** For how long it is cut off, at least. */
const CUT_OFF_MS = process.env['RMQ_LONG_TESTS'] === '1' ? 45_000 : 0;
const ORDERS = { name: 'orders', type: 'quorum' } as const;

describe('F43: when a node has lost its peers', () => {
  let cluster: PrivateCluster;
  let vhost: ClusterVhost;
  let lonely: PrivateBroker;
  let oracle: Oracle;
  let ends: (() => unknown)[] = [];

  beforeAll(async () => {
    cluster = await PrivateCluster.start();
    vhost = await cluster.createVhost();
    lonely = cluster.nodes[0]!;
    await declareHere();
  }, 120_000);
  afterAll(() => cluster.stop(), 30_000);
  afterEach(async () => {
    await cluster.rejoin(lonely);
    for (const end of ends.splice(0).toReversed()) await end();
    oracle.end();
  }, 30_000);

  const lonelyUrl = (): string => vhost.urls[0]!;
  const lonelyAddress = (): string => `amqp://127.0.0.1:${lonely.port}/${vhost.name}`;

  /** Open, on the node that is to be cut off, with a confirmed publish behind it. */
  async function connected(options: Partial<RmqConnectionOptions>): Promise<RmqConnection> {
    oracle = new Oracle();
    const publish = { noConfirmsAfterMs: LIMIT_MS, ...options.publish };
    const connection = new RmqConnection({ urls: vhost.urls, topology: { queues: [ORDERS] }, ...options, publish });
    oracle.watch(connection);
    ends.push(() => connection.close({ drainTimeoutMs: 1_000 }));
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await connection.publisher.sendToQueue('orders', { id: 'first' }, { messageId: 'first' });
    return connection;
  }

  /** A queue of the node's own, which needs no peers. */
  async function declareHere(): Promise<void> {
    const bare = await connectAmqplib(lonelyUrl());
    await (await bare.createChannel()).assertQueue('here', { durable: true, arguments: { 'x-queue-type': 'classic' } });
    await bare.close();
  }

  const health = (connection: RmqConnection) => verdict(connection.status(), Date.now());
  const endpoints = (connection: RmqConnection) => connection.status().links.map(({ endpoint }) => endpoint);

  it(
    'leaves it for the next one, with what was under way, and takes the consumers along',
    async () => {
      const connection = await connected({});
      connection.subscribe({ queue: 'orders', queueOptions: { type: 'quorum' } }, oracle.consume);
      await until('it consumes', () => oracle.consumed.has('first'));
      expect(endpoints(connection)).toEqual([lonelyAddress(), lonelyAddress()]);

      await cluster.isolate(lonely);
      const cutOffAt = performance.now();
      for (let id = 0; id < 50; id++) void oracle.publish(connection, '', 'orders', `${id}`);
      await until('all were confirmed', () => oracle.confirmed.size === 50);
      expect(performance.now() - cutOffAt).toBeLessThan(LIMIT_MS + SLACK_MS);

      const losses = () => oracle.eventsOf('link-lost').map(({ event }) => event);
      expect(losses()[0]).toMatchObject({ role: 'publishing', cause: { code: 'RMQ_NO_CONFIRMS' } });
      expect(losses()[0]!.cause.message).toMatch(
        /confirmed none of 50 publishes for \d\.\d s, and was last heard of \d\.\d s ago/,
      );
      await until('the consumers have moved too', () => losses().some(({ role }) => role === 'consuming'));
      expect(losses().find(({ role }) => role === 'consuming')?.cause).toMatchObject({
        code: 'RMQ_NO_CONFIRMS',
        message: expect.stringContaining('confirmed the same publishes'),
      });
      await until('health is up again', () => health(connection).status === 'up');
      for (let id = 50; performance.now() - cutOffAt < CUT_OFF_MS; id++) {
        await oracle.publish(connection, '', 'orders', `${id}`);
        expect(health(connection).status).toBe('up');
      }
      await oracle.expectNothingLost();
      expect(endpoints(connection)).not.toContain(lonelyAddress());
      expect(oracle.rejected).toEqual([]);
      await cluster.rejoin(lonely);
      await oracle.publish(connection, '', 'orders', 'after');
      await oracle.expectNothingLost();
    },
    CUT_OFF_MS + 40_000,
  );

  it(
    'says so in health while it has no other address, dials it anew, and confirms go on when it is whole',
    async () => {
      const connection = await connected({ urls: lonelyUrl(), publish: { timeoutMs: CUT_OFF_MS + 30_000 } });
      await cluster.isolate(lonely);
      const cutOffAt = performance.now();
      for (let id = 0; id < 20; id++) void oracle.publish(connection, '', 'orders', `${id}`);
      await until('a second link confirmed nothing either', () => oracle.eventsOf('link-lost').length === 2);
      await until('the link is open again', () => connection.state.name === 'open');
      expect(health(connection)).toMatchObject({ status: 'degraded', reason: 'no-confirms' });
      expect(connection.status().noConfirms).toMatchObject({ waiting: 20 });
      await until('it was cut off for long enough', () => performance.now() - cutOffAt >= CUT_OFF_MS, {
        timeoutMs: CUT_OFF_MS + 1_000,
        everyMs: 500,
      });
      expect(health(connection)).toMatchObject({ reason: 'no-confirms' });

      await cluster.rejoin(lonely);
      void oracle.publish(connection, '', 'orders', 'after');
      await until('all were confirmed', () => oracle.confirmed.size === 21, { timeoutMs: 30_000 });
      expect(oracle.rejected).toEqual([]);
      await until('health is up', () => health(connection).status === 'up');
      const pauses = oracle.eventsOf('link-lost').map(({ event }) => (event.cause as { waitedMs?: number }).waitedMs!);
      expect(pauses[1]).toBeGreaterThanOrEqual(1.9 * LIMIT_MS);
      expect(connection.status().noConfirms).toBeNull();
    },
    CUT_OFF_MS + 70_000,
  );

  it('stays when only one queue confirms nothing and others do', async () => {
    const connection = await connected({ urls: lonelyUrl() });
    await cluster.isolate(lonely);
    void oracle.publish(connection, '', 'orders', 'waits', 2.5 * LIMIT_MS);
    const others = setInterval(() => void oracle.publish(connection, '', 'here', `${oracle.confirmed.size}`), 50);
    ends.push(() => clearInterval(others));
    await until('that one ran out of time', () => oracle.rejected.length > 0);
    expect(oracle.rejected[0]).toMatchObject({ id: 'waits', error: { code: 'RMQ_PUBLISH_TIMEOUT' } });
    expect(oracle.eventsOf('link-lost')).toEqual([]);
    expect(health(connection).status).toBe('up');
  }, 40_000);

  it('control: with the option off they wait there until their time is over, and so does bare amqplib', async () => {
    const connection = await connected({ publish: { noConfirmsAfterMs: Infinity } });
    const bare = await connectAmqplib(lonelyUrl());
    ends.push(() => bare.close());
    const channel = await bare.createConfirmChannel();
    channel.sendToQueue('orders', Buffer.from('"before"'));
    await channel.waitForConfirms();

    await cluster.isolate(lonely);
    let bareIsAnswered = false;
    channel.sendToQueue('orders', Buffer.from('"bare"'), {}, () => (bareIsAnswered = true));
    await oracle.publish(connection, '', 'orders', 'waits', 3 * LIMIT_MS);
    expect(oracle.rejected).toMatchObject([{ id: 'waits', error: { code: 'RMQ_PUBLISH_TIMEOUT' } }]);
    expect(bareIsAnswered).toBe(false);
    expect(health(connection)).toMatchObject({ status: 'up' });
  }, 40_000);
});
