import { describe, expect, it } from '@jest/globals';
import { connect, type ChannelModel } from 'amqplib';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

describe('F1: when an operator closes the connection', () => {
  const faults = useFaults();

  it('dials again within 120 ms', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });

    await faults.broker.closeAllConnections('maintenance');

    const [lost] = await until('the loss was seen', () => faults.oracle.eventsOf('link-lost'));
    expect(lost?.event.retryInMs).toBeLessThanOrEqual(120);
    await connection.whenOpen({ timeoutMs: 5_000 });
  });

  it('loses no confirmed message while it happens again and again under load', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: 'order.*' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });

    let id = 0;
    for (let closes = 0; closes < 5; closes++) {
      const batch = Array.from({ length: 400 }, () =>
        faults.oracle.publish(connection, 'shop', 'order.new', `m${id++}`),
      );
      await faults.broker.closeAllConnections('maintenance');
      await Promise.all(batch);
    }

    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.confirmed.size).toBe(2_000);
    expect(connection.status().reconnects).toBeGreaterThan(0);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it.each([
    { consumers: 320, withinMs: 1_000 },
    { consumers: 1_000, withinMs: 2_000 },
  ])(
    'has $consumers consumers back within $withinMs ms',
    async ({ consumers, withinMs }) => {
      const connection = faults.connect();
      const queues = Array.from({ length: consumers }, (_, i) => `q${i}`);
      for (const queue of queues) connection.subscribe({ queue }, faults.oracle.consume);
      await connection.start();
      await connection.whenOpen({ timeoutMs: 20_000 });
      const tookMs: number[] = [];
      for (let round = 0; round < 3; round++) {
        const closedAt = performance.now();
        await faults.broker.closeAllConnections('maintenance');
        await until('the loss was seen', () => connection.state.name !== 'open', { everyMs: 1 });
        await connection.whenOpen({ timeoutMs: 20_000 });
        tookMs.push(performance.now() - closedAt);
      }
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, queues);
      expect(tookMs.sort((a, b) => a - b)[1]).toBeLessThanOrEqual(withinMs);
    },
    60_000,
  );

  it('control: bare amqplib stays disconnected, and its consumer is gone', async () => {
    const session: ChannelModel = await connect(faults.vhost.url);
    let isClosed = false;
    session.on('close', () => (isClosed = true));
    const channel = await session.createChannel();
    await channel.assertQueue('work');
    await channel.consume('work', () => undefined);
    await faults.broker.closeAllConnections('maintenance');
    await until('amqplib noticed', () => isClosed);
    await expect(session.createChannel()).rejects.toThrow(/closed/i);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual([]);
  });
});
