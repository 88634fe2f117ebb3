import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** How soon a dead peer has to be known: 1.5 timeouts after its last byte, and a second to look and to say so. */
const detectedWithinMs = (heartbeatSeconds: number): number => 1_500 * heartbeatSeconds + 1_000;
const BACK_WITHIN_MS = 5_000;
const LONG = process.env['RMQ_LONG_TESTS'] === '1';

describe('F4: when the broker freezes', () => {
  const faults = useFaults({ ownBroker: {} });

  async function consuming(queue: string, timeoutSeconds?: number): Promise<RmqConnection> {
    const connection = faults.connect({ heartbeat: { timeoutSeconds }, downAfterMs: 0 });
    connection.subscribe({ queue }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', queue, `${queue} before`);
    return connection;
  }

  /** Stops the broker, and makes sure that it goes on after the test, whatever happens. */
  function freeze(): number {
    faults.afterwards(() => faults.broker.thaw());
    faults.broker.freeze();
    return performance.now();
  }

  function untilFrozenFor(ms: number, since: number): Promise<unknown> {
    return until(`it was frozen for ${ms} ms`, () => performance.now() - since >= ms, { timeoutMs: ms + 1_000 });
  }

  /** Milliseconds after `since` at which the first link of that heartbeat was given up. */
  async function detectionMs(connection: RmqConnection, since: number, withinMs: number): Promise<number> {
    await until('the loss was seen', () => connection.status().lastLoss, { timeoutMs: withinMs + 2_000, everyMs: 5 });
    expect(connection.status().lastLoss).toMatchObject({ code: 'RMQ_PEER_DEAD' });
    // In the millisecond of the loss nothing is down for longer than `downAfterMs`, not even for longer than 0.
    await until('health says so', () => verdict(connection.status(), Date.now()).status === 'down', { everyMs: 1 });
    return performance.now() - since;
  }

  it('sits out 5 s without a disconnect, and confirms what was published meanwhile', async () => {
    const connection = await consuming('work');
    const before = await faults.broker.listConnections(faults.vhost.name);

    const since = freeze();
    await untilFrozenFor(500, since); // the signal itself takes a moment
    const published = faults.oracle.publish(connection, '', 'work', 'meanwhile');
    await untilFrozenFor(5_000, since);
    expect(faults.oracle.confirmed).not.toContain('meanwhile');
    faults.broker.thaw();
    await published;

    await faults.oracle.expectNothingLost();
    expect(faults.oracle.duplicates).toBe(0);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    const names = (connections: { name: string }[]) => connections.map(({ name }) => name).sort();
    expect(names(await faults.broker.listConnections(faults.vhost.name))).toEqual(names(before));
  });

  it('gives it up after 1.5 heartbeat timeouts, says so in health, and is back within 5 s when it goes on', async () => {
    const heartbeats = [2, 3, undefined];
    const connections = await Promise.all(heartbeats.map((seconds) => consuming(`with ${seconds}`, seconds)));

    const since = freeze();
    const detections = await Promise.all(
      connections.map(async (connection, i) => {
        const bound = detectedWithinMs(heartbeats[i] ?? 10);
        return { tookMs: await detectionMs(connection, since, bound), bound };
      }),
    );
    expect(detections.filter(({ tookMs, bound }) => tookMs > bound)).toEqual([]);
    const held = connections.map((connection, i) =>
      faults.oracle.publish(connection, '', `with ${heartbeats[i]}`, `held ${i}`),
    );

    faults.broker.thaw();
    const thawedAt = performance.now();
    await Promise.all(connections.map((connection) => connection.whenOpen({ timeoutMs: BACK_WITHIN_MS })));
    expect(faults.tookMs(thawedAt)).toBeLessThanOrEqual(BACK_WITHIN_MS);
    expect(connections.map((connection) => verdict(connection.status(), Date.now()).status)).toEqual([
      'up',
      'up',
      'up',
    ]);
    await Promise.all(held);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    const consumers = async () =>
      (await faults.broker.listConsumers(faults.vhost.name)).map(({ queue }) => queue).sort();
    await until('each queue has its one consumer', async () => (await consumers()).length === 3);
    expect(await consumers()).toEqual(heartbeats.map((seconds) => `with ${seconds}`).sort());
  }, 40_000);

  if (LONG) {
    it.each([{ seconds: 40 }, { seconds: 120 }])(
      'is back within 5 s after $seconds s, at whatever point of its attempts the broker goes on',
      async ({ seconds }) => {
        // Not more of them: a frozen broker's accept queue holds 128 connections, and after that even TCP has to try again.
        const names = Array.from({ length: 4 }, (_, i) => `q${i}`);
        const connections = await Promise.all(names.map((name) => consuming(name)));
        const since = freeze();
        await untilFrozenFor(seconds * 1_000, since);
        faults.broker.thaw();
        await Promise.all(connections.map((connection) => connection.whenOpen({ timeoutMs: BACK_WITHIN_MS })));
        await faults.oracle.expectNothingLost();
        await until('each queue has its one consumer', async () => {
          const consumers = await faults.broker.listConsumers(faults.vhost.name);
          return (
            consumers.length === names.length && new Set(consumers.map(({ queue }) => queue)).size === names.length
          );
        });
      },
      180_000,
    );
  }

  it('control: bare amqplib has not noticed it by then, and then stays away', async () => {
    const session = await connect(`${faults.vhost.url}?heartbeat=3`);
    let lostAt: number | undefined;
    session.on('error', () => undefined);
    session.on('close', () => (lostAt = performance.now()));
    const channel = await session.createChannel();
    await channel.assertQueue('work');
    await channel.consume('work', () => undefined);

    const since = freeze();
    await until('amqplib noticed', () => lostAt, { timeoutMs: 12_000 });
    expect(lostAt! - since).toBeGreaterThan(detectedWithinMs(3));
    faults.broker.thaw();
    await until(
      'the consumer is gone',
      async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 0,
    );
    await expect(session.createChannel()).rejects.toThrow(/closed/i);
  });
});
