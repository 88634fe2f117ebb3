import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { putNamesOnDisk } from '../support/names-on-disk.js';
import { until } from '../support/until.js';

const IN_FLIGHT = 500;

describe('F3: when the broker crashes under load', () => {
  const faults = useFaults({ ownBroker: {} });

  /** Publishes as fast as confirms come, until told to stop; resolves when every publish is settled. */
  function load(connection: RmqConnection, queue: string): { stop(): Promise<void> } {
    const ending = { isStopped: false };
    let id = 0;
    faults.afterwards(() => (ending.isStopped = true));
    const publishers = Array.from({ length: IN_FLIGHT }, async () => {
      while (!ending.isStopped) await faults.oracle.publish(connection, '', queue, `m${id++}`);
    });
    return {
      async stop() {
        ending.isStopped = true;
        await Promise.all(publishers);
      },
    };
  }

  it.each([
    { type: 'classic' as const, crashes: 3 },
    { type: 'quorum' as const, crashes: 1 },
  ])(
    'loses no confirmed message of a $type queue and leaves no publish pending (crashes: $crashes)',
    async ({ type, crashes }) => {
      const connection = faults.connect();
      connection.subscribe({ queue: 'work', queueOptions: { type }, prefetch: 200 }, faults.oracle.consume);
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      // RabbitMQ notes the name of a new quorum queue on disk a little later; without it a crash orphans the queue itself.
      await putNamesOnDisk(faults);
      const publishing = load(connection, 'work');

      for (let crash = 0; crash < crashes; crash++) {
        const { confirmed } = faults.oracle;
        const wanted = confirmed.size + 2_000;
        await until('there is load on the broker', () => confirmed.size >= wanted, { everyMs: 1 });
        expect(connection.status().outbox.inFlight).toBeGreaterThan(0);
        await faults.broker.kill();
        await faults.broker.restart();
        await until('publishing goes on', () => connection.state.name === 'open');
      }
      await publishing.stop();

      await faults.oracle.expectNothingLost();
      expect(faults.oracle.pendingPublishes).toBe(0);
      expect(faults.oracle.rejected).toEqual([]);
      expect(connection.status()).toMatchObject({ outbox: { queued: 0, inFlight: 0, waiting: 0, bytes: 0 } });
      expect(connection.status().counters.republished).toBeGreaterThan(0);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
    },
    60_000,
  );

  it('control: bare amqplib gives up what was in flight, and whatever is published afterwards', async () => {
    const session = await connect(faults.vhost.url);
    session.on('error', () => undefined);
    const channel = await session.createConfirmChannel();
    channel.on('error', () => undefined);
    await channel.assertQueue('work');
    const failed: Error[] = [];
    // Frozen first, so that all of them are in flight when it crashes.
    faults.broker.freeze();
    for (let id = 0; id < 1_000; id++) {
      channel.publish('', 'work', Buffer.from(`{"id":"m${id}"}`), { persistent: true }, (error: Error | null) => {
        if (error !== null) failed.push(error);
      });
    }
    await faults.broker.kill();
    await until('every one of them failed', () => failed.length === 1_000);
    await faults.broker.restart();

    expect(() => channel.publish('', 'work', Buffer.from('{}'))).toThrow(/closed/i);
  });
});
