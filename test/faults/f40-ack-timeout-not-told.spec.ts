import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const ACK_TIMEOUT_MS = 3_000;
/** None of them ends near the timeout: an ack that crosses the news of it on the wire would be void, and counted. */
const JOB_MS = 1_200;
const JOBS = Array.from({ length: 5 }, (_, n) => `job ${n}`);

const BROKER = {
  config: { consumer_timeout: `${ACK_TIMEOUT_MS}` },
  advancedConfig: '[{rabbit,[{channel_tick_interval,200}]}].',
};

const working = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each([
  { version: '4.0', types: ['classic', 'quorum'] },
  { version: '4.3', types: ['quorum'] },
] as const)('F40: when the broker has another ack timeout than we were told ($version)', ({ version, types }) => {
  const faults = useFaults({ ownBroker: { version, ...BROKER } });

  async function untilEmpty(): Promise<void> {
    await until('the queues are empty', async () =>
      (await faults.broker.listQueues(faults.vhost.name)).every(({ messages }) => messages === 0),
    );
  }

  it('pays for it once: only what ran at that time runs again, and its ack, which is void, is not counted', async () => {
    const connection = faults.connect();
    const begun: string[] = [];
    for (const type of types)
      connection.subscribe(
        { queue: type, queueOptions: { type }, prefetch: 20, concurrency: 1 },
        async (job, delivery) => {
          begun.push((job as { id: string }).id);
          await working(JOB_MS);
          faults.oracle.consume(job, delivery);
        },
      );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    await Promise.all(
      types.flatMap((type) => JOBS.map((job) => faults.oracle.publish(connection, '', type, `${type} ${job}`))),
    );

    const wanted = types.length * JOBS.length;
    await until('all is acked', () => connection.status().counters.acked >= wanted, { timeoutMs: 40_000 });
    await untilEmpty();
    // What a quorum queue has counted as returned twice is copied, and the original acked.
    const copied = faults.oracle.eventsOf('delivery-renewed').length;
    expect(connection.status().counters).toMatchObject({ acked: wanted + copied, staleSettlements: types.length });
    expect(begun).toHaveLength(wanted + types.length);
    expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(types.length);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, types);
  }, 60_000);

  // Until 4.2 the whole channel is lost.
  const itTakesOneBack = version === '4.3' ? it : it.skip;
  itTakesOneBack(
    'begins nothing that waited, and goes on with what the broker left it',
    async () => {
      const connection = faults.connect();
      const begun: string[] = [];
      const letGo = new Map<string, () => void>();
      connection.subscribe(
        { queue: 'jobs', queueOptions: { type: 'quorum' }, prefetch: 20, concurrency: 2 },
        async (job, delivery) => {
          const { id } = job as { id: string };
          begun.push(id);
          if (begun.length <= 2) await new Promise<void>((resolve) => letGo.set(id, resolve));
          faults.oracle.consume(job, delivery);
        },
      );
      await connection.start();
      await connection.whenOpen({ timeoutMs: 10_000 });
      await faults.oracle.publish(connection, '', 'jobs', 'too slow');
      await until('it runs', () => letGo.has('too slow'));
      // The others are younger by far.
      await working(ACK_TIMEOUT_MS / 2);
      for (const id of ['in time', 'waits', 'waits too']) await faults.oracle.publish(connection, '', 'jobs', id);
      await until('it runs, too', () => letGo.has('in time'));

      await until('the consumer is lost', () => faults.oracle.eventsOf('consumer-lost').length > 0);
      await until('the others were handled', () => faults.oracle.consumed.size === 3);
      letGo.get('too slow')?.();
      letGo.get('in time')?.();
      await until('all is done', () => connection.status().counters.handlersRunning === 0);
      await untilEmpty();
      expect(begun.toSorted()).toEqual(['in time', 'too slow', 'too slow', 'waits', 'waits too']);
      expect(connection.status().counters).toMatchObject({ acked: 4, staleSettlements: 1 });
      expect(faults.oracle.eventsOf('consumer-lost')).toHaveLength(1);
      await faults.oracle.expectNothingLost();
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['jobs']);
    },
    30_000,
  );
});
