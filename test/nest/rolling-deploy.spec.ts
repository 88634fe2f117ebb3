/** Three instances of a service are replaced one after the other, with work in their hands. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { NestServiceProcess } from '../support/children/nest-service-process.js';
import { until } from '../support/until.js';

const INSTANCES = 3;
const MESSAGES = 1_000;
const PREFETCH = 400;
/** From the quickest handler to the slowest; each instance is told to end while most of its own still run. */
const WORK_MS = { from: 500, to: 3_000 };

describe('when a service of three instances is deployed anew, with 1,000 deliveries in flight', () => {
  const faults = useFaults();
  let everyInstance: NestServiceProcess[] = [];
  beforeEach(() => {
    everyInstance = [];
  });

  async function launch(drainTimeoutMs: number): Promise<NestServiceProcess> {
    const instance = NestServiceProcess.launch({
      connection: { urls: faults.vhost.url, drainTimeoutMs },
      prefetch: PREFETCH,
    });
    faults.afterwards(() => instance.dispose());
    everyInstance.push(instance);
    await instance.untilReady();
    return instance;
  }

  const all = (name: 'begun' | 'finished'): string[] => everyInstance.flatMap((instance) => instance.ids(name));
  const ids = Array.from({ length: MESSAGES }, (_, i) => `m${i}`);
  /** How many were finished, or begun, more than once. */
  const repeated = (name: 'begun' | 'finished'): number => all(name).length - new Set(all(name)).size;

  /** Ends each of the instances that have all the work in hand, with another one in its place; resolves when all work is done. */
  async function deploy(signal: NodeJS.Signals, drainTimeoutMs: number): Promise<void> {
    const old = await Promise.all(Array.from({ length: INSTANCES }, () => launch(drainTimeoutMs)));
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    const { from, to } = WORK_MS;
    ids.forEach((id, i) => {
      const work = { id, workMs: from + ((to - from) * i) / MESSAGES };
      channel.sendToQueue('work', Buffer.from(JSON.stringify(work)), { contentType: 'application/json' });
    });
    await channel.waitForConfirms();
    await until('all of it is in flight', () => all('begun').length === MESSAGES, { everyMs: 5 });
    for (const instance of old) {
      const heir = launch(drainTimeoutMs);
      instance.signal(signal);
      await Promise.all([instance.untilEnded(), heir]);
    }
    await until('all of it was done', () => new Set(all('finished')).size === MESSAGES, { timeoutMs: 20_000 });
    await until('the queue is empty', async () => {
      const queues = await faults.broker.listQueues(faults.vhost.name);
      return queues.find(({ name }) => name === 'work')?.messages === 0;
    });
  }

  it('loses nothing, and begins nothing twice, when the drain is long enough', async () => {
    await deploy('SIGTERM', 10_000);
    expect(new Set(all('finished'))).toEqual(new Set(ids));
    expect(repeated('begun')).toBe(0);
  }, 60_000);

  it('loses nothing, and repeats nothing that was acked, when the drain is too short for some', async () => {
    await deploy('SIGTERM', 200);
    expect(new Set(all('finished'))).toEqual(new Set(ids));
    // Given back unfinished, so begun again by another instance. What was finished in time was acked, and never comes again.
    expect(repeated('begun')).toBeGreaterThan(0);
    expect(repeated('finished')).toBe(0);
  }, 60_000);

  it('control: killed instead, the instances leave hundreds of deliveries to be begun again', async () => {
    await deploy('SIGKILL', 10_000);
    expect(repeated('begun')).toBeGreaterThan(100);
  }, 60_000);
});
