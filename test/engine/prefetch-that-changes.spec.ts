import { describe, expect, it } from '@jest/globals';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Said, not set: the broker itself waits for half an hour. */
const ACK_TIMEOUT_MS = 1_500;
const JOBS = Array.from({ length: 12 }, (_, n) => n);
const SLOW_MS = 200;

const working = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('when what waits for a handler cannot be done before the ack timeout', () => {
  const faults = useFaults();

  async function subscribed(options: SubscriptionOptions, jobMs = () => SLOW_MS) {
    const connection = faults.connect({ ackTimeoutMs: ACK_TIMEOUT_MS });
    const done: unknown[] = [];
    const subscription = connection.subscribe({ prefetch: 20, concurrency: 1, ...options }, async (job) => {
      await working(jobMs());
      done.push(job);
    });
    await started(connection);
    return {
      connection,
      subscription,
      done,
      publish: () => Promise.all(JOBS.map((job) => connection.publisher.sendToQueue(subscription.queue, job))),
      prefetchAtBroker: async () =>
        (await faults.broker.listConsumers(faults.vhost.name)).map(({ prefetch }) => prefetch),
      changes: () => faults.oracle.eventsOf('prefetch-changed').map(({ event }) => event),
    };
  }

  it.each<[string, SubscriptionOptions]>([
    ['a queue that lives and dies with its consumer', { name: 'own', queue: '' }],
    [
      'a queue that somebody else may delete with its last consumer',
      { queue: 'jobs', queueOptions: { autoDelete: true } },
    ],
    ['an exclusive consumer', { queue: 'jobs', exclusive: true }],
  ])('holds fewer, and handles each job once, in order: %s', async (_, options) => {
    const { connection, done, publish, prefetchAtBroker, changes } = await subscribed(options);
    await publish();
    const [change] = await until('it holds fewer', () => changes().length > 0 && changes());
    expect(change).toMatchObject({ from: 20, handedBack: expect.any(Number) });
    expect(change?.to).toBeLessThan(10);
    await until('all is done', () => connection.status().counters.acked === JOBS.length);
    expect(done).toEqual(JOBS);
    expect(await prefetchAtBroker()).toEqual([changes().at(-1)?.to]);
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1, missing: [] });
  });

  it('holds fewer of a stream, and skips nothing', async () => {
    const { connection, done, publish, changes } = await subscribed({ queue: 'stream', streamOffset: 'first' });
    await publish();
    await until('it holds fewer', () => changes().length > 0);
    await until('all is done', () => new Set(done).size === JOBS.length);
    expect(connection.status().counters.acked).toBeGreaterThanOrEqual(JOBS.length);
    expect(done).toEqual(JOBS);
  });

  it('holds more again when the handlers are fast again, also after a pause', async () => {
    let jobMs = SLOW_MS;
    const { connection, subscription, publish, prefetchAtBroker, changes } = await subscribed(
      { queue: 'jobs' },
      () => jobMs,
    );
    await publish();
    await until('it holds fewer', () => changes().length > 0);
    await subscription.pause();
    jobMs = 1;
    await subscription.resume();
    await until('all is done', () => connection.status().counters.acked === JOBS.length);
    await publish();
    await until('it holds all again', () => changes().at(-1)?.to === 20);
    expect(await prefetchAtBroker()).toEqual([20]);
    await until('all is done', () => connection.status().counters.acked === 2 * JOBS.length);
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
  });

  it('gives back what waits for a store, and begins it when the store answers', async () => {
    let isDown = true;
    const store = {
      claim: () => (isDown ? Promise.reject(new Error('down')) : Promise.resolve('new' as const)),
      done: () => undefined,
      release: () => undefined,
    };
    const { connection, done } = await subscribed({ queue: 'jobs', deduplicate: { ttlMs: 60_000, store } }, () => 1);
    await connection.publisher.sendToQueue('jobs', 'kept', { messageId: 'kept' });
    await until('it went back', () => connection.status().counters.requeued > 0);
    expect(done).toEqual([]);
    isDown = false;
    await until('it is done', () => connection.status().counters.acked === 1);
    expect(done).toEqual(['kept']);
  });
});
