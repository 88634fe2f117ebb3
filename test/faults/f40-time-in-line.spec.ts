import { describe, expect, it } from '@jest/globals';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const ACK_TIMEOUT_MS = 3_000;
const JOB_MS = 500;
/** One after the other they take nearly twice as long as the broker waits. */
const JOBS = Array.from({ length: 10 }, (_, n) => `job ${n}`);

/** Until 4.2 the broker looks at the age of deliveries every so often: once a minute unless it is told otherwise. */
const BROKER = {
  config: { consumer_timeout: `${ACK_TIMEOUT_MS}` },
  advancedConfig: '[{rabbit,[{channel_tick_interval,200}]}].',
};

/** From 4.3 on a classic queue waits for ever. */
const TYPES = { '4.0': ['classic', 'quorum'], '4.3': ['quorum'] } as const;

const working = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(['4.0', '4.3'] as const)('F40: when messages wait in line past the ack timeout (%s)', (version) => {
  const faults = useFaults({ ownBroker: { version, ...BROKER } });
  const types = TYPES[version];

  /** @returns the ids of the jobs that were begun, in order */
  function subscribe(connection: RmqConnection, options: SubscriptionOptions): string[] {
    const begun: string[] = [];
    connection.subscribe({ prefetch: 20, ...options }, async (job, delivery) => {
      begun.push((job as { id: string }).id);
      await working(JOB_MS);
      faults.oracle.consume(job, delivery);
    });
    return begun;
  }

  function subscribeToBatches(connection: RmqConnection, options: SubscriptionOptions): string[] {
    const begun: string[] = [];
    connection.subscribeBatch({ prefetch: 20, ...options, batch: { size: 2 } }, async (jobs, { deliveries }) => {
      begun.push(...jobs.map((job) => (job as { id: string }).id));
      await working(2 * JOB_MS);
      jobs.forEach((job, index) => faults.oracle.consume(job, deliveries[index] as Delivery));
    });
    return begun;
  }

  it('runs each job once, without a lost channel or consumer, and counts no ack that is void', async () => {
    const connection = faults.connect({ ackTimeoutMs: ACK_TIMEOUT_MS });
    const begun = new Map<string, string[]>();
    for (const type of types) {
      const queueOptions = { type };
      for (const [queue, options] of Object.entries({
        [`one handler, ${type}`]: { concurrency: 1 },
        [`one hot key, ${type}`]: { orderedBy: () => 'hot' },
      }))
        begun.set(queue, subscribe(connection, { queue, queueOptions, ...options }));
      const queue = `batches, ${type}`;
      begun.set(queue, subscribeToBatches(connection, { queue, queueOptions }));
    }
    const queues = [...begun.keys()];
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await Promise.all(
      queues.flatMap((queue) => JOBS.map((job) => faults.oracle.publish(connection, '', queue, `${queue} ${job}`))),
    );
    const wanted = queues.length * JOBS.length;

    await until('all is acked', () => connection.status().counters.acked >= wanted, { timeoutMs: 40_000 });
    await until('the queues are empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
    for (const [queue, ids] of begun) expect(ids.toSorted()).toEqual(JOBS.map((job) => `${queue} ${job}`));
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    // What a quorum queue has counted as returned twice is copied, and the original acked.
    const copied = faults.oracle.eventsOf('delivery-renewed').length;
    expect(connection.status().counters).toMatchObject({ acked: wanted + copied, staleSettlements: 0 });
    expect(connection.status().counters.requeued).toBeGreaterThan(0);
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, queues);
  }, 60_000);

  it.each(types)(
    'control: bare amqplib loses its consumer with all that waits (%s queue)',
    async (type) => {
      const { channel, errors } = await bareClient(faults);
      await channel.assertQueue('jobs', { arguments: { 'x-queue-type': type } });
      await channel.prefetch(20);
      let isOver = false;
      let line: Promise<void> = Promise.resolve();
      await channel.consume('jobs', (message) => {
        if (message === null) isOver = true;
        else
          line = line.then(async () => {
            if (!isOver) await working(JOB_MS);
            if (!isOver) channel.ack(message);
          });
      });
      channel.on('error', () => (isOver = true));
      for (const job of JOBS) channel.sendToQueue('jobs', Buffer.from(job));
      await until('it was told', () => isOver);
      if (version === '4.0') expect(errors[0]?.message).toMatch(/delivery acknowledgement on channel 1 timed out/);
      await line;
    },
    30_000,
  );
});
