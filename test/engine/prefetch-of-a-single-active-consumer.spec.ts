import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Said, not set: the broker itself waits for half an hour. */
const ACK_TIMEOUT_MS = 1_500;
const JOBS = Array.from({ length: 12 }, (_, n) => n);
const ENDLESS = 99;
const QUICK = Array.from({ length: 40 }, (_, n) => 100 + n);
const SLOW_MS = 300;

const working = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(['classic', 'quorum'] as const)('when a single active consumer holds too many (%s queue)', (type) => {
  const faults = useFaults();
  const onClassic = type === 'classic' ? it : it.skip;
  let running = 0;
  let mostAtATime = 0;
  let jobMs = SLOW_MS;
  let letGo: () => void = () => undefined;
  let untilLetGo: Promise<void> = Promise.resolve();
  let done: { by: string; job: unknown }[] = [];

  async function consumer(by: string, concurrency = 1): Promise<RmqConnection> {
    const connection = faults.connect({ connectionName: by, ackTimeoutMs: ACK_TIMEOUT_MS });
    connection.subscribe(
      { queue: 'jobs', queueOptions: { type }, singleActive: true, prefetch: 20, concurrency, handlerTimeoutMs: false },
      async (job) => {
        mostAtATime = Math.max(mostAtATime, ++running);
        await (job === ENDLESS ? untilLetGo : working(jobMs));
        running -= 1;
        done.push({ by, job });
      },
    );
    await started(connection);
    return connection;
  }

  async function publish(connection: RmqConnection, jobs: readonly number[]): Promise<void> {
    for (const job of jobs) await connection.publisher.sendToQueue('jobs', job);
  }

  function begin(): void {
    running = mostAtATime = 0;
    jobMs = SLOW_MS;
    untilLetGo = new Promise((resolve) => (letGo = resolve));
    done = [];
  }

  const changes = () => faults.oracle.eventsOf('prefetch-changed').map(({ event }) => event);
  const jobsDone = () => done.map(({ job }) => job as number).toSorted((a, b) => a - b);

  it('holds fewer as soon as nothing runs, so two processes never handle at the same time', async () => {
    begin();
    const one = await consumer('one');
    await consumer('two');
    await publish(one, JOBS);
    await until('it holds fewer', () => changes().length > 0);
    expect(changes()[0]).toMatchObject({ from: 20, handedBack: expect.any(Number) });
    await until('all is done', () => jobsDone().length >= JOBS.length, { timeoutMs: 20_000 });
    expect(new Set(done.map(({ by }) => by))).toEqual(new Set(['one', 'two']));
    expect(jobsDone()).toEqual(JOBS);
    expect(mostAtATime).toBe(1);
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
  }, 30_000);

  onClassic(
    'does not wait for a handler that goes on and on: what has waited too long goes back, and is begun beside it',
    async () => {
      begin();
      const one = await consumer('one', 2);
      await publish(one, [ENDLESS, ...JOBS]);
      await until('all but that are done', () => jobsDone().length >= JOBS.length, { timeoutMs: 20_000 });
      letGo();
      await until('that, too', () => one.status().counters.handlersRunning === 0);
      expect(jobsDone()).toEqual([...JOBS, ENDLESS]);
      expect(one.status().counters.requeued).toBeGreaterThan(0);
      expect(changes()).toEqual([]);
      expect(mostAtATime).toBe(2);
    },
    30_000,
  );

  it('holds more again with its next attachment, and not before: another process would be served meanwhile', async () => {
    begin();
    const one = await consumer('one');
    await publish(one, JOBS);
    await until('it holds fewer', () => changes().length > 0);
    const held = changes().length;
    jobMs = 1;
    await until('all is done', () => jobsDone().length === JOBS.length, { timeoutMs: 20_000 });
    await consumer('two');
    await publish(one, QUICK);
    await until('those, too', () => jobsDone().length === JOBS.length + QUICK.length);
    expect(new Set(done.map(({ by }) => by))).toEqual(new Set(['one']));
    expect(changes()).toHaveLength(held);
    expect(mostAtATime).toBe(1);

    await faults.broker.closeConnection('one default consuming');
    const [grown] = await until('it holds more', () => changes().length > held && changes().slice(held));
    expect(grown).toMatchObject({ from: changes()[held - 1]?.to, handedBack: 0 });
    expect(grown?.to).toBeGreaterThan(grown?.from as number);
    await until('it is back', () => one.status().consumers.singleActive.length === 1);
    expect(one.status().consumers.singleActive).toMatchObject([{ role: 'standby' }]);
  }, 30_000);
});
