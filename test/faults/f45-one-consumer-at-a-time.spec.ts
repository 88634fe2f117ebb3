import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import { healthDetails } from '../../libs/rmq-keepalive/src/integrations/terminus/health-report.js';
import { verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** RabbitMQ 3.10 has no default types. */
const hasDefaultTypes = process.env['RMQ_BROKER_VERSION'] === '3.10' ? it.skip : it;

const LAST_OF_ONE = 60;

describe('F45: one consumer at a time', () => {
  const faults = useFaults();
  /** Who handled which number, in order. */
  let handled: { by: string; number: number; redelivered: boolean }[] = [];

  async function consumer(by: string, options: Partial<SubscriptionOptions<number>>): Promise<RmqConnection> {
    const connection = faults.connect({ connectionName: by });
    connection.subscribe<number>(
      { queue: 'jobs', prefetch: 5, concurrency: 1, ...options },
      async (number, delivery) => {
        handled.push({ by, number, redelivered: delivery.redelivered });
        // In hand when the link is lost, with others behind it.
        if (by === 'one' && number === LAST_OF_ONE)
          await new Promise((resolve) => delivery.signal.addEventListener('abort', resolve));
      },
    );
    await started(connection);
    return connection;
  }

  async function send(from: number, to: number): Promise<void> {
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    for (let number = from; number < to; number++)
      channel.sendToQueue('jobs', Buffer.from(`${number}`), { contentType: 'application/json' });
    await channel.waitForConfirms();
  }

  const has = (number: number): boolean => handled.some((one) => one.number === number);
  const health = (connection: RmqConnection) => ({
    status: verdict(connection.status(), Date.now()).status,
    ...healthDetails(connection.status()).consumers,
  });
  const parts = (connection: RmqConnection) => connection.status().consumers.singleActive;

  it.each(['classic', 'quorum'] as const)(
    'on a %s queue one handles all, in order; when its link is lost the one that stood by goes on, in order',
    async (type) => {
      handled = [];
      const options = { singleActive: true, queueOptions: { type } };
      const one = await consumer('one', options);
      const two = await consumer('two', options);
      // Nobody has been given anything: nobody can know.
      expect([...parts(one), ...parts(two)].map(({ role }) => role)).toEqual(['standby', 'standby']);

      await send(0, 50);
      await until('all are handled', () => has(49));
      expect(parts(one)).toEqual([{ name: 'jobs', queue: 'jobs', role: 'active', activeSince: expect.any(Number) }]);
      expect(parts(two)).toEqual([{ name: 'jobs', queue: 'jobs', role: 'standby', activeSince: null }]);
      expect(health(one)).toMatchObject({ status: 'up', missing: [], standby: [] });
      expect(health(two)).toMatchObject({ status: 'up', missing: [], standby: ['jobs'] });

      await send(50, 300);
      await until('it has come so far', () => has(LAST_OF_ONE));
      await faults.broker.closeConnection('one default consuming');
      await until('all are handled', () => has(299), { timeoutMs: 15_000 });
      expect([...new Set(handled.map(({ by }) => by))]).toEqual(['one', 'two']);
      // Of what came a second time the order is that of the first time.
      const ofTwo = handled.filter(({ by }) => by === 'two').map(({ number }) => number);
      expect(ofTwo).toEqual(Array.from({ length: 300 - ofTwo[0]! }, (_, i) => ofTwo[0]! + i));
      const ofOne = handled.filter(({ by }) => by === 'one').map(({ number }) => number);
      expect(ofOne).toEqual(Array.from({ length: LAST_OF_ONE + 1 }, (_, i) => i));
      // What was in hand when the link was lost is handled by both.
      expect(ofTwo[0]).toBeLessThanOrEqual(LAST_OF_ONE);

      await until('it is back', () => parts(one).length === 1);
      expect(parts(one)[0]).toMatchObject({ role: 'standby', activeSince: null });
      expect(parts(two)[0]).toMatchObject({ role: 'active' });
    },
    20_000,
  );

  it('a queue that exists without a single active consumer is not consumed from: that is named, and heals', async () => {
    handled = [];
    const { channel } = await bareClient(faults);
    await channel.assertQueue('jobs');
    await send(0, 1);
    const connection = await consumer('one', { singleActive: true });
    expect(connection.status().consumers).toMatchObject({
      attached: 0,
      missing: [
        {
          code: 'RMQ_CONSUME_REFUSED',
          message: expect.stringMatching(/the broker has it without a single active consumer/),
        },
      ],
      singleActive: [],
    });
    expect(connection.status().topology.refused).toMatchObject([{ entity: 'queue "jobs"' }]);
    const [refused] = faults.oracle.eventsOf('consumer-refused');
    expect(refused?.event.cause).toMatchObject({ cause: { code: 'RMQ_NOT_SINGLE_ACTIVE' } });
    await channel.deleteQueue('jobs');
    await until('it is declared and consumed from', () => parts(connection).length === 1, { timeoutMs: 15_000 });
    await send(1, 2);
    await until('it is handled', () => has(1));
  }, 20_000);

  it('a queue that cannot be declared for another reason is not consumed from either, and nobody is told to delete it', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('jobs', { arguments: { 'x-single-active-consumer': true, 'x-max-length': 9 } });
    const connection = await consumer('one', { singleActive: true });
    expect(connection.status().consumers).toMatchObject({
      attached: 0,
      missing: [{ message: expect.stringMatching(/it could not be declared \(see topology\.refused\)/) }],
    });
    expect(connection.status().consumers.missing[0]?.message).not.toMatch(/Delete the queue/);
  });

  hasDefaultTypes(
    'an exclusive consumer of a queue that became a quorum queue by default is named as none',
    async () => {
      await faults.broker.setDefaultQueueType(faults.vhost.name, 'quorum');
      const connection = await consumer('one', { exclusive: true });
      await until('it was told', () => faults.oracle.eventsOf('exclusive-ignored').length === 1);
      expect(faults.oracle.eventsOf('exclusive-ignored')[0]?.event).toMatchObject({
        queue: 'jobs',
        queueType: 'quorum',
      });
      expect(connection.status().consumers).toMatchObject({ attached: 1, notExclusive: ['jobs'] });
      expect(health(connection)).toMatchObject({ status: 'up', notExclusive: ['jobs'] });
      expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    },
  );

  it('an exclusive consumer of a classic queue is one, and nothing is told', async () => {
    const connection = await consumer('one', { exclusive: true });
    const { channel } = await bareClient(faults);
    channel.on('error', () => undefined);
    await expect(channel.consume('jobs', () => undefined)).rejects.toThrow(/exclusive use/);
    expect(connection.status().consumers).toMatchObject({ attached: 1, notExclusive: [] });
    expect(faults.oracle.eventsOf('exclusive-ignored')).toEqual([]);
  });

  it('control: without it both are served, and RabbitMQ consents to two exclusive consumers of a quorum queue', async () => {
    handled = [];
    await consumer('one', {});
    await consumer('two', {});
    await send(0, 50);
    await until('all are handled', () => handled.length === 50);
    expect(new Set(handled.map(({ by }) => by))).toEqual(new Set(['one', 'two']));
    for (let i = 0; i < 2; i++) {
      const { channel } = await bareClient(faults);
      await channel.assertQueue('quorum', { arguments: { 'x-queue-type': 'quorum' } });
      await channel.consume('quorum', () => undefined, { exclusive: true });
    }
    expect(
      (await faults.broker.listConsumers(faults.vhost.name)).filter(({ queue }) => queue === 'quorum'),
    ).toHaveLength(2);
  });
});
