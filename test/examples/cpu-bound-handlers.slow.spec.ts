import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import countPrimes from '../../examples/cpu-bound-handlers/count-primes.task.js';
import { IN_HAND } from '../../examples/cpu-bound-handlers/work-pool.js';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const MAIN = new URL('../../examples/cpu-bound-handlers/main.ts', import.meta.url);
const NAIVE = new URL('./programs/naive-numbers.ts', import.meta.url);
/** RabbitMQ gives a client up after two to three of it in silence. */
const TIMEOUT_SECONDS = 2;
const LONGER_THAN_THE_BROKER_WAITS_MS = 2 * 3_000 * TIMEOUT_SECONDS;
/** Until then the long one is counted for certain, with a fifteenth of a processor, too. */
const COMPUTED_MS = 15 * LONGER_THAN_THE_BROKER_WAITS_MS;
const FOR_EVER = { id: 'endless', below: 1e12 };

describe('a service whose handlers compute for long', () => {
  const faults = useFaults({ ownBroker: { heartbeatSeconds: TIMEOUT_SECONDS } });

  async function service(program: URL): Promise<TypescriptChild> {
    const child = TypescriptChild.start(program, { env: { RMQ_URLS: faults.vhost.url, NO_COLOR: '1' } });
    faults.afterwards(() => child.dispose());
    await until(`it works; stderr: ${child.stderr}`, async () => {
      const consumers = await faults.broker.listConsumers(faults.vhost.name);
      return consumers.some(({ queue }) => queue === 'numbers');
    });
    return child;
  }
  const put = async (...jobs: { id: string; below: number }[]): Promise<void> => {
    const { publisher } = faults.connect({ connectionName: 'test' });
    for (const job of jobs) await publisher.sendToQueue('numbers', job, { messageId: job.id });
  };
  /** Results by id, as they come; each with how often it came. */
  const results = async () => {
    const counted = new Map<string, { primes: number; times: number }>();
    const connection = faults.connect({ connectionName: 'test' });
    connection.subscribe({ queue: 'counted' }, (payload) => {
      const { id, primes } = payload as { id: string; primes: number };
      counted.set(id, { primes, times: (counted.get(id)?.times ?? 0) + 1 });
    });
    await connection.start();
    return counted;
  };
  const consumingConnections = async (): Promise<string[]> =>
    (await faults.broker.listConnections(faults.vhost.name))
      .filter(({ userProvidedName }) => userProvidedName.endsWith('consuming') && !userProvidedName.startsWith('test'))
      .map(({ pid }) => pid);
  const numbers = async () =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'numbers');

  it(
    'keeps its connection for as long as they compute, and every result is right',
    async () => {
      await service(MAIN);
      const counted = await results();
      const before = await consumingConnections();
      expect(before).toHaveLength(1);
      const long = belowThatTakes(LONGER_THAN_THE_BROKER_WAITS_MS);
      const startedAt = performance.now();
      await put({ id: 'long', below: long });
      await until('it is counted', () => counted.has('long'), { timeoutMs: COMPUTED_MS });
      // Else this proves nothing.
      expect(performance.now() - startedAt).toBeGreaterThan(LONGER_THAN_THE_BROKER_WAITS_MS / 2);
      const small = [0, 2, 3, 4, 100, 1_000, 65_537];
      await put(...small.map((below) => ({ id: `${below}`, below })));
      await until('all are counted', () => counted.size === small.length + 1);
      for (const below of [...small, long])
        expect(counted.get(below === long ? 'long' : `${below}`)).toEqual({ primes: sieved(below), times: 1 });
      expect(await consumingConnections()).toEqual(before);
    },
    COMPUTED_MS + 60_000,
  );

  it('has no more in hand than its threads need, and leaves the rest to others', async () => {
    await service(MAIN);
    await put(...Array.from({ length: IN_HAND + 10 }, (_, i) => ({ ...FOR_EVER, id: `endless ${i}` })));
    await until('the first are in hand', async () => (await numbers())?.messagesUnacknowledged === IN_HAND);
    expect(await numbers()).toMatchObject({ messagesReady: 10, messagesUnacknowledged: IN_HAND });
  });

  it('stops computing what is for nothing, when the link is lost and the message goes to another consumer', async () => {
    const child = await service(MAIN);
    const jobs = Array.from({ length: IN_HAND }, (_, i) => ({ ...FOR_EVER, id: `endless ${i}` }));
    await put(...jobs);
    await until('they are in hand', async () => (await numbers())?.messagesUnacknowledged === IN_HAND);
    const [connection] = await consumingConnections();
    await until('it computes', async () => (await processorMsOf(child)) > 500);
    // So that it does not get them again.
    await faults.broker.suspendListeners();
    faults.afterwards(() => faults.broker.resumeListeners());
    await faults.broker.closeConnection(connection!, 'maintenance');
    await until('all are cancelled', () => jobs.every(({ id }) => child.stdout.includes(`${id} is cancelled`)));
    let last = { at: performance.now(), processorMs: -Infinity };
    await until('the threads have come to rest', async () => {
      const [at, before] = [performance.now(), last];
      // Long enough to see that they compute, little as they may get of a busy machine.
      if (at - before.at < 1_000) return false;
      last = { at, processorMs: await processorMsOf(child) };
      return last.processorMs - before.processorMs < 100;
    });
    expect(await numbers()).toMatchObject({ messagesReady: IN_HAND, messagesUnacknowledged: 0 });
    expect(child.stdout.match(/is cancelled/g)).toHaveLength(IN_HAND);
    expect(child.stderr).not.toContain('Unhandled');
  });

  it('ends with the application: what takes too long goes back to the queue', async () => {
    const child = await service(MAIN);
    await put(FOR_EVER);
    await until('it is in hand', async () => (await numbers())?.messagesUnacknowledged === 1);
    child.signal('SIGTERM');
    // Nest ends the process by the same signal once everything is shut down.
    expect(await child.untilEnded()).toEqual({ exitCode: null, signal: 'SIGTERM' });
    expect(child.stdout).toContain('endless is cancelled');
    expect(await numbers()).toMatchObject({ messagesReady: 1, messagesUnacknowledged: 0 });
  });

  it(
    'control: computing in the handler itself costs the connection, and the work begins anew',
    async () => {
      const child = await service(NAIVE);
      const before = await consumingConnections();
      await put({ id: 'long', below: belowThatTakes(LONGER_THAN_THE_BROKER_WAITS_MS) });
      const beginnings = (): number => child.stdout.match(/counting for long/g)?.length ?? 0;
      await until('the work begins anew', () => beginnings() === 2, { timeoutMs: COMPUTED_MS });
      expect(await consumingConnections()).not.toEqual(before);
      expect(child.stdout + child.stderr).toMatch(
        /event loop blocked for \d+\.\d s; the broker gave us up after 2 x 2 s/,
      );
    },
    COMPUTED_MS + 60_000,
  );
});

/** Processor time of all threads of a process so far (proc(5): utime and stime, in hundredths of a second). */
async function processorMsOf({ pid }: TypescriptChild): Promise<number> {
  const [, fields] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ') as [string, string];
  const [user, system] = fields.split(' ').slice(11, 13).map(Number) as [number, number];
  return (user + system) * 10;
}

/**
 * A number whose primes take so long to count, or longer on a busy machine: the time grows a little slower than its power of
 * 1.5. Processor time, and the best of three: what others take of the machine must not make the work too short.
 */
function belowThatTakes(milliseconds: number): number {
  const sample = 300_000;
  const takes = [1, 2, 3].map(() => {
    const before = process.cpuUsage();
    countPrimes({ below: sample });
    return process.cpuUsage(before).user / 1_000;
  });
  return Math.ceil(sample * (milliseconds / Math.min(...takes)) ** (1 / 1.45));
}

/** How many primes there are below a number, found another way. */
function sieved(below: number): number {
  const isComposite = new Uint8Array(Math.max(below, 2));
  let count = 0;
  for (let candidate = 2; candidate < below; candidate++) {
    if (isComposite[candidate] === 1) continue;
    count += 1;
    for (let multiple = candidate * candidate; multiple < below; multiple += candidate) isComposite[multiple] = 1;
  }
  return count;
}
