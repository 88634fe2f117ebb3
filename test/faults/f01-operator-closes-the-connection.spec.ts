import { describe, expect, it } from '@jest/globals';
import { connect, type ChannelModel } from 'amqplib';
import { encodeMethod } from '../../tools/broker/amqp-codec.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
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

    const lost = await until('the loss was seen', () => faults.oracle.eventsOf('link-lost').at(0));
    expect(lost.event.retryInMs).toBeLessThanOrEqual(120);
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
      const losses = () => faults.oracle.eventsOf('link-lost').map(({ at }) => at);
      const opens = () =>
        faults.oracle.eventsOf('state-changed').flatMap(({ at, event }) => (event.to.name === 'open' ? at : []));
      for (let round = 1; round <= 3; round++) {
        await faults.broker.closeAllConnections('maintenance');
        await until('it is open again', () => opens().length === 1 + round, { timeoutMs: 20_000 });
      }
      const [, ...reopens] = opens();
      const tookMs = losses().map((lostAt, i) => faults.tookMs(lostAt, reopens[i]!));
      expect(tookMs).toHaveLength(3);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, queues);
      expect(tookMs.sort((a, b) => a - b)[1]).toBeLessThanOrEqual(withinMs);
    },
    60_000,
  );

  it('dials again when the close comes in the same read as the end of the handshake', async () => {
    let closes = 0;
    const scripted = await ScriptedBroker.start({
      script: {
        'connection.open': (session) => {
          const openOk = encodeMethod('connection.open-ok', 0, {});
          const forced = { replyCode: 320, replyText: 'CONNECTION_FORCED - maintenance', classId: 0, methodId: 0 };
          const close = closes++ < 3 ? encodeMethod('connection.close', 0, forced) : Buffer.alloc(0);
          session.write(Buffer.concat([openOk, close]));
        },
      },
    });
    faults.afterwards(() => scripted.close());
    const connection = faults.connect({ urls: scripted.url });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(faults.oracle.eventsOf('attempt-failed')).toHaveLength(3);
    expect(scripted.openSessions).toHaveLength(1);
  });

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
