/**
 * The broker runs out of memory and blocks whoever publishes: with the first publish during the alarm it says so, and from
 * then on it reads nothing from that connection, acks included. That is why consumers have a link of their own.
 */
import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const BLOCKED_SEEN_WITHIN_MS = 3_000;
const CLOSED_WITHIN_MS = 5_000;
/** More than the broker has in hand when it is told so. */
const BACKLOG = 300;
const SOUND_WATERMARK = 0.9;

describe('F15: when the broker raises its memory alarm', () => {
  const faults = useFaults({ ownBroker: {} });

  async function raiseAlarm(): Promise<void> {
    faults.afterwards(clearAlarm);
    await faults.broker.setMemoryHighWatermark({ bytes: 1_000_000 });
  }
  const clearAlarm = (): Promise<void> => faults.broker.setMemoryHighWatermark(SOUND_WATERMARK);
  const healthOf = (connection: RmqConnection) => verdict(connection.status(), Date.now());
  const queueNamed = async (wanted: string) =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === wanted);

  /** Open, with both links in use. */
  async function connected(options: Partial<RmqConnectionOptions> = {}): Promise<RmqConnection> {
    const connection = faults.connect(options);
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await faults.oracle.publish(connection, '', 'work', 'before');
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  /** The alarm is raised, and a publish has met it; that one is at the broker, without a confirm. */
  async function blocked(connection: RmqConnection): Promise<void> {
    await raiseAlarm();
    void faults.oracle.publish(connection, '', 'work', 'met');
    await until('it knows that it is blocked', () => connection.status().blocked !== null, {
      timeoutMs: BLOCKED_SEEN_WITHIN_MS,
    });
  }

  it('says so, is degraded and not down, holds publishes within the bound, and loses none of them', async () => {
    const connection = await connected({ outbox: { maxMessages: 50, whenFull: 'reject' } });
    await blocked(connection);
    expect(connection.state.name).toBe('open');
    expect(healthOf(connection)).toMatchObject({ status: 'degraded', reason: 'blocked' });
    expect(faults.oracle.eventsOf('blocked')).toEqual([
      expect.objectContaining({ event: { type: 'blocked', role: 'publishing', reason: 'low on memory' } }),
    ]);

    for (let i = 0; i < 60; i++) void faults.oracle.publish(connection, '', 'work', `m${i}`);
    await until('what the outbox has no room for is rejected', () => faults.oracle.rejected.length === 11);
    expect(faults.oracle.rejected.every(({ error }) => 'code' in error && error.code === 'RMQ_OUTBOX_FULL')).toBe(true);
    expect(connection.status().outbox).toMatchObject({ queued: 49, inFlight: 1 });

    await clearAlarm();
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.confirmed.size).toBe(51);
    expect(healthOf(connection)).toMatchObject({ status: 'up', reason: 'open' });
    expect(faults.oracle.eventsOf('unblocked')).toHaveLength(1);
    expect(connection.status().reconnects).toBe(0);
  });

  it('rejects a publish whose time is over while it is blocked, and has not sent it', async () => {
    const connection = await connected();
    await blocked(connection);
    await faults.oracle.publish(connection, '', 'work', 'late', 300);
    expect(faults.oracle.rejected).toMatchObject([
      { id: 'late', error: { code: 'RMQ_PUBLISH_TIMEOUT', wasSent: false } },
    ]);
    await clearAlarm();
    await faults.oracle.publish(connection, '', 'work', 'after');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.consumed.has('late')).toBe(false);
  });

  /** Messages of somebody else in queue `backlog`, taken one at a time: each next one needs the ack of the one before. */
  async function withBacklog(options: Partial<RmqConnectionOptions>) {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('backlog', { durable: true });
    for (let i = 0; i < BACKLOG; i++)
      channel.sendToQueue('backlog', Buffer.from('{}'), { contentType: 'application/json' });
    await until('the backlog is there', async () => (await queueNamed('backlog'))?.messagesReady === BACKLOG);
    const connection = await connected(options);
    let handled = 0;
    let letGo!: () => void;
    const alarmed = new Promise<void>((resolve) => (letGo = resolve));
    connection.subscribe({ queue: 'backlog', prefetch: 1 }, async () => {
      await alarmed;
      handled += 1;
    });
    await until('the first one is in hand', async () => (await queueNamed('backlog'))?.messagesUnacknowledged === 1);
    await blocked(connection);
    letGo();
    return { connection, handled: () => handled };
  }

  it('goes on consuming and acking on the link of the consumers', async () => {
    const { connection, handled } = await withBacklog({});
    await until('the backlog was handled', () => handled() === BACKLOG);
    await until('the broker has read every ack', async () => (await queueNamed('backlog'))?.messages === 0);
    expect(connection.status().blocked).not.toBeNull();
  });

  it("control: with links: 'shared' no ack is read while the alarm lasts, and nothing more is consumed", async () => {
    const { connection, handled } = await withBacklog({ links: 'shared' });
    const consuming = until('the backlog was handled', () => handled() === BACKLOG, { timeoutMs: 3_000 });
    await expect(consuming).rejects.toThrow(/in vain/);
    expect(handled()).toBe(1);
    expect((await queueNamed('backlog'))?.messages).toBe(BACKLOG);
    expect(connection.status().blocked).not.toBeNull();
    await clearAlarm();
    await until('the backlog was handled', () => handled() === BACKLOG);
  });

  it.each(['separate', 'shared'] as const)(
    'closes within 5 s while it is blocked, with links: %s and all other limits as they are by default',
    async (links) => {
      const connection = await connected({ links });
      await blocked(connection);
      for (let i = 0; i < 20; i++) void faults.oracle.publish(connection, '', 'work', `held${i}`);
      const from = performance.now();
      const report = await connection.close();
      expect(faults.tookMs(from)).toBeLessThan(CLOSED_WITHIN_MS);
      expect(report).toMatchObject({ publishesAbandoned: 21, publishesFlushed: 0 });
      await until('every caller was told', () => faults.oracle.pendingPublishes === 0);
      expect(faults.oracle.rejected.every(({ error }) => 'code' in error && error.code === 'RMQ_CLOSED')).toBe(true);
    },
  );

  it('confirms what it holds when the alarm ends while it closes', async () => {
    const connection = await connected();
    await blocked(connection);
    for (let i = 0; i < 20; i++) void faults.oracle.publish(connection, '', 'work', `held${i}`);
    const closing = connection.close();
    await clearAlarm();
    expect(await closing).toMatchObject({ publishesAbandoned: 0, publishesFlushed: 21 });
    const heir = faults.connect();
    heir.subscribe({ queue: 'work' }, faults.oracle.consume);
    await heir.start();
    await faults.oracle.expectNothingLost();
  });

  it('keeps a connection that it opened during the alarm: it is blocked with its first publish', async () => {
    await raiseAlarm();
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    const publishing = faults.oracle.publish(connection, '', 'work', 'first');
    await until('it knows that it is blocked', () => connection.status().blocked !== null);
    await clearAlarm();
    await publishing;
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.confirmed.has('first')).toBe(true);
    expect(connection.status().reconnects).toBe(0);
  });

  it('control: bare amqplib publishes into the void, without a bound and without a word to the caller', async () => {
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    await channel.assertQueue('work');
    channel.sendToQueue('work', Buffer.from('before'));
    await channel.waitForConfirms();
    let isBlocked = false;
    session.on('blocked', () => (isBlocked = true));
    await raiseAlarm();
    let settled = 0;
    channel.sendToQueue('work', Buffer.from('met'), {}, () => (settled += 1));
    await until('the broker blocks it', () => isBlocked);
    for (let i = 0; i < 20_000; i++) channel.sendToQueue('work', Buffer.alloc(1_024), {}, () => (settled += 1));
    const waiting = until('one was settled', () => settled > 0, { timeoutMs: 2_000 });
    await expect(waiting).rejects.toThrow(/in vain/);
  });
});
