import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Subscription } from '#engine/consuming/attaching/subscription-handle.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const JOBS = Array.from({ length: 6 }, (_, n) => n);

describe.each(['classic', 'quorum'] as const)('F45: a single active consumer ends in order (%s queue)', (type) => {
  const faults = useFaults();
  let begun: { by: string; job: unknown }[] = [];
  let running = 0;
  let mostAtATime = 0;
  let letGo: (() => void)[] = [];
  /** Called by the first handler. */
  let atFirst: () => Promise<void> = () => Promise.resolve();

  function begin(): void {
    begun = [];
    running = mostAtATime = 0;
    letGo = [];
    atFirst = () => new Promise((resolve) => letGo.push(resolve));
  }

  async function consumer(by: string): Promise<{ connection: RmqConnection; subscription: Subscription }> {
    const connection = faults.connect({ connectionName: by });
    const subscription = connection.subscribe(
      { queue: 'jobs', queueOptions: { type }, singleActive: true, prefetch: 4, concurrency: 1 },
      async (job) => {
        begun.push({ by, job });
        mostAtATime = Math.max(mostAtATime, ++running);
        if (begun.length === 1) await atFirst();
        running -= 1;
      },
    );
    await started(connection);
    return { connection, subscription };
  }

  async function twoWithJobs(): Promise<{ one: Awaited<ReturnType<typeof consumer>>; two: RmqConnection }> {
    const one = await consumer('one');
    const { connection: two } = await consumer('two');
    for (const job of JOBS) await two.publisher.sendToQueue('jobs', job);
    await until('the first runs', () => begun.length === 1);
    await until('others wait behind it', () => one.connection.status().counters.delivered === 4);
    return { one, two };
  }

  const begunBy = (name: string): number[] => begun.filter(({ by }) => by === name).map(({ job }) => job as number);

  it.each<[string, (one: { connection: RmqConnection; subscription: Subscription }) => Promise<unknown>]>([
    ['its connection is closed', ({ connection }) => connection.close()],
    ['it is paused', ({ subscription }) => subscription.pause()],
    ['it is unsubscribed', ({ subscription }) => subscription.unsubscribe()],
  ])('the next process begins when the last handler of ours has ended: %s', async (_, end) => {
    begin();
    const { one, two } = await twoWithJobs();
    const ended = end(one);
    // Three round trips through the broker: by then the other one would have begun.
    for (let i = 0; i < 3; i++) await two.publisher.sendToQueue('jobs', 100 + i);
    expect(begun).toEqual([{ by: 'one', job: 0 }]);
    letGo[0]?.();
    await ended;
    const last = [...JOBS, 100, 101, 102].slice(1);
    await until('the other has done the rest', () => begun.length === 1 + last.length);
    expect(begunBy('one')).toEqual([0]);
    expect(begunBy('two').toSorted((a, b) => a - b)).toEqual(last);
    expect(mostAtATime).toBe(1);
    expect(two.status().consumers.singleActive).toMatchObject([{ role: 'active' }]);
  });

  it('a handler that pauses and resumes its own subscription does not wait for itself, and nothing is handed over', async () => {
    begin();
    let one: Subscription | undefined;
    atFirst = async () => {
      await until('others wait behind it', () => connection.status().counters.delivered === 4);
      await one?.pause();
      await one?.resume();
    };
    const { connection, subscription } = await consumer('one');
    one = subscription;
    await consumer('two');
    for (const job of JOBS) await connection.publisher.sendToQueue('jobs', job);
    await until('all is done', () => connection.status().counters.acked === JOBS.length);
    expect(begunBy('one').toSorted((a, b) => a - b)).toEqual(JOBS);
    expect(begunBy('two')).toEqual([]);
    expect(mostAtATime).toBe(1);
  });

  it('a close does not wait for longer than the drain time', async () => {
    begin();
    const { one } = await twoWithJobs();
    const report = await one.connection.close({ drainTimeoutMs: 200 });
    expect(report.handlersFinished).toBe(0);
    await until('the other has done all', () => begunBy('two').length === JOBS.length);
    letGo[0]?.();
  });

  it('control: with bare amqplib the next one begins at the cancel', async () => {
    const { channel: one } = await bareClient(faults);
    await one.assertQueue('jobs', { arguments: { 'x-queue-type': type, 'x-single-active-consumer': true } });
    await one.prefetch(1);
    let isHeld = false;
    const { consumerTag } = await one.consume('jobs', () => (isHeld = true));
    for (const job of JOBS) one.sendToQueue('jobs', Buffer.from(`${job}`));
    await until('the first runs', () => isHeld);
    const { channel: two } = await bareClient(faults);
    let hasBegun = false;
    await two.consume('jobs', () => (hasBegun = true));
    await one.cancel(consumerTag);
    // A classic queue of RabbitMQ 3.10 looks for work for its new consumer when the next thing happens to it.
    two.sendToQueue('jobs', Buffer.from('one more'));
    await until('the other has begun', () => hasBegun);
  });
});
