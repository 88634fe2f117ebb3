import { describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);
const attached = (connection: RmqConnection): number => connection.status().consumers.attached;

describe('F38: when a user may have few channels over all connections', () => {
  const faults = useFaults();
  let users = 0;

  /** A user of its own, since the limit counts all connections of a user. */
  async function userWith(limit: number): Promise<{ user: string; url: string }> {
    const user = `few-${process.pid}-${++users}`;
    await faults.broker.addUser(user, 'secret');
    faults.afterwards(() => faults.broker.deleteUser(user));
    await faults.broker.setPermissions(user, faults.vhost.name);
    await faults.broker.setUserLimits(user, { 'max-channels': limit });
    return { user, url: faults.broker.urlFor(faults.vhost.name, { user, password: 'secret' }) };
  }

  function connect(url: string, subscriptions: number, options: Partial<RmqConnectionOptions> = {}): RmqConnection {
    const connection = faults.connect({ urls: url, ...options });
    for (const queue of numbered('q', subscriptions)) connection.subscribe({ queue }, () => undefined);
    return connection;
  }

  const lostLinks = (): number => faults.oracle.eventsOf('link-lost').length;

  it('amqplib alone loses the connection with all its channels, each time (control)', async () => {
    const { url } = await userWith(5);
    for (let time = 1; time <= 2; time++) {
      const bare = await bareClient(faults, url);
      for (let more = 1; more <= 4; more++) await bare.session.createChannel();
      await expect(bare.session.createChannel()).rejects.toThrow(/Channel ended/);
      await until('the connection is gone', () => !bare.isSessionOpen);
      expect(bare.errors[0]).toMatchObject({ code: 530, message: expect.stringMatching(/user limit of \(?5\b/) });
    }
  });

  it.each(['shared', 'separate'] as const)(
    '%s, 5 channels: what fits is attached after one lost link, publishing works, and nothing dies any more',
    async (links) => {
      const { url } = await userWith(5);
      const topology = { queues: numbered('t', 40).map((name) => ({ name })) };
      const connection = connect(url, 8, { links, topology });
      await started(connection);
      await connection.publisher.sendToQueue('t0', 1);
      expect(attached(connection)).toBe(3);
      const { missing } = connection.status().consumers;
      expect(missing.map(({ name }) => name)).toEqual(['q3', 'q4', 'q5', 'q6', 'q7']);
      for (const { code, message } of missing) {
        expect(code).toBe('RMQ_CHANNELS_EXHAUSTED');
        expect(message).toMatch(/may have 5 channels over all connections.*max-channels.*set_user_limits/);
        expect(message).not.toMatch(/retried/);
      }
      expect(await faults.broker.listConsumers(faults.vhost.name)).toHaveLength(3);
      // A queue that is deleted costs a repair, with a channel of its own, and no link.
      await faults.broker.deleteQueue('q0', faults.vhost.name);
      await until('its consumer is lost', () => faults.oracle.eventsOf('consumer-lost').length === 1);
      await until('it is back', () => attached(connection) === 3);
      expect(lostLinks()).toBe(1);
    },
  );

  it('a service that boots only with its broker boots: the first lost link is a lesson, and no failure', async () => {
    const { url } = await userWith(5);
    const connection = connect(url, 8, { startup: 'fail-fast' });
    await connection.start();
    expect(connection.status().consumers).toMatchObject({ wanted: 8, attached: 3 });
    expect(lostLinks()).toBe(1);
  });

  it('consumers that have taken all of them give up what publishing needs, and finish what they have begun', async () => {
    const { url } = await userWith(5);
    const connection = faults.connect({ urls: url });
    let letGo = (): void => undefined;
    const inHand = new Promise<void>((resolve) => (letGo = resolve));
    let handled = 0;
    for (const queue of numbered('q', 5))
      connection.subscribe({ queue }, async () => {
        await inHand;
        handled += 1;
      });
    await started(connection);
    expect(attached(connection)).toBe(5);
    const bare = await bareClient(faults);
    for (const queue of numbered('q', 5)) bare.channel.sendToQueue(queue, Buffer.from('{}'));
    await until('all are busy', () => connection.status().counters.handlersRunning === 5);
    const published = connection.publisher.sendToQueue('q0', 1);
    await until('two are on their way out', () => attached(connection) === 3);
    letGo();
    await published;
    await until('all were handled', () => handled === 6);
    // One lost link, that of the publisher; nothing was delivered twice, or acked in vain.
    expect(faults.oracle.eventsOf('link-lost').map(({ event }) => event.role)).toEqual(['publishing']);
    expect(connection.status().counters).toMatchObject({ staleSettlements: 0, requeued: 0 });
    await until('the acks are counted', () => connection.status().counters.acked === 6);
  });

  it('a user whose channels others have all backs off, instead of dying again and again', async () => {
    const { url } = await userWith(3);
    const bare = await bareClient(faults, url);
    for (let more = 1; more <= 2; more++) await bare.session.createChannel();
    const connection = connect(url, 2);
    await connection.start();
    const lost = await until('it was lost twice', () => faults.oracle.eventsOf('link-lost').at(1));
    expect(lost.event).toMatchObject({ cause: { message: expect.stringMatching(/530.*user limit of \(?3\b/) } });
    expect(lost.event.retryInMs).toBeGreaterThanOrEqual(5_000);
    expect(connection.state.name).toBe('backing-off');
  });

  it('a limit that is lowered meanwhile is learned at the next reconnect', async () => {
    const { user, url } = await userWith(20);
    const connection = connect(url, 8);
    await started(connection);
    await connection.publisher.sendToQueue('q0', 1);
    expect(attached(connection)).toBe(8);
    await faults.broker.setUserLimits(user, { 'max-channels': 5 });
    expect(attached(connection)).toBe(8);
    for (const { pid, vhost } of await faults.broker.listConnections(faults.vhost.name))
      if (vhost === faults.vhost.name) await faults.broker.closeConnection(pid);
    await until('the first ones are back', () => attached(connection) >= 2 && connection.state.name === 'open');
    await connection.publisher.sendToQueue('q0', 1);
    expect(attached(connection)).toBeLessThanOrEqual(3);
    expect(faults.oracle.eventsOf('attempt-failed')).toEqual([]);
  });

  it('a limit that is lifted is found out without a restart, at the price of nobody', async () => {
    const { user, url } = await userWith(5);
    const connection = connect(url, 30);
    await started(connection);
    await connection.publisher.sendToQueue('q0', 1);
    expect(attached(connection)).toBe(3);
    const before = faults.oracle.eventsOf('consumer-attached').length;
    await faults.broker.setUserLimits(user, {});
    await until('all are attached', () => attached(connection) === 30, { timeoutMs: 20_000 });
    expect(faults.oracle.eventsOf('consumer-attached')).toHaveLength(before + 27);
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
    expect(lostLinks()).toBe(1);
  }, 40_000);
});
