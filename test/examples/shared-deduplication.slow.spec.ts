import { beforeEach, describe, expect, it } from '@jest/globals';
import { PostgresDeduplicationStore } from '../../examples/shared-deduplication/postgres-deduplication-store.js';
import { useDatabase } from '../support/database-fixture.js';
import { useFaults } from '../support/fault-fixture.js';
import { Fleet } from '../support/children/fleet.js';
import { until } from '../support/until.js';

const EXAMPLE = new URL('../../examples/shared-deduplication/', import.meta.url);
const MAIN = new URL('main.ts', EXAMPLE);
const NAIVE = new URL('./programs/naive-confirmations.ts', import.meta.url);
/** The prefetch: what a process can have in hand. */
const IN_HAND = 20;
const MINUTE_MS = 60_000;

const database = useDatabase(new URL('schema.sql', EXAMPLE));

describe('PostgresDeduplicationStore', () => {
  let store: PostgresDeduplicationStore;
  const claim = (messageId: string, holder: string) => ({ subscription: 'orders', messageId, holder });

  beforeEach(() => {
    store = new PostgresDeduplicationStore(database.pool);
  });

  it('gives a message to one of many who claim it at the same time', async () => {
    const holders = Array.from({ length: 20 }, (_, index) => `holder ${index}`);
    const answers = await Promise.all(holders.map((holder) => store.claim(claim('m1', holder), MINUTE_MS)));
    expect(answers.filter((answer) => answer === 'new')).toHaveLength(1);
    expect(answers.filter((answer) => answer === 'busy')).toHaveLength(19);
  });

  it('gives it to another one when the claim was released or has expired, and to its holder at any time', async () => {
    expect(await store.claim(claim('m1', 'a'), MINUTE_MS)).toBe('new');
    expect(await store.claim(claim('m1', 'a'), MINUTE_MS)).toBe('new');
    await store.release(claim('m1', 'b'));
    expect(await store.claim(claim('m1', 'b'), MINUTE_MS)).toBe('busy');
    await store.release(claim('m1', 'a'));
    expect(await store.claim(claim('m1', 'b'), 1)).toBe('new');
    await until('the claim has expired', async () => (await store.claim(claim('m1', 'c'), MINUTE_MS)) === 'new');
  });

  it('remembers what was handled, whoever holds the claim, until its time is over', async () => {
    await store.claim(claim('m1', 'a'), MINUTE_MS);
    await store.done(claim('m1', 'b'), MINUTE_MS);
    await store.release(claim('m1', 'b'));
    expect(await store.claim(claim('m1', 'c'), MINUTE_MS)).toBe('done');
    expect(await store.claim({ ...claim('m1', 'c'), subscription: 'invoices' }, MINUTE_MS)).toBe('new');
    await store.done(claim('m1', 'b'), 1);
    await until('it is forgotten', async () => (await store.forgetExpired()) === 1);
    expect(await store.claim(claim('m1', 'c'), MINUTE_MS)).toBe('new');
  });
});

describe('when every message comes three times, to two processes', () => {
  const faults = useFaults();

  async function fleet(program: URL): Promise<Fleet> {
    const env = { RMQ_URLS: faults.vhost.url, DATABASE_URL: database.url };
    const processes = new Fleet(program, /are mailed/, env);
    faults.afterwards(() => processes.killAll());
    await processes.start(2);
    // They boot in the background: that they are up does not mean that the queue is there.
    await until('both consume', async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 2);
    return processes;
  }

  /** The copies of one message lie side by side, so that they are in hand at the same time. */
  async function publishThrice(messages: number): Promise<void> {
    const { publisher } = faults.connect();
    const ids = Array.from({ length: messages }, (_, index) => `m${index}`);
    await Promise.all(
      ids.flatMap((id) => [1, 2, 3].map(() => publisher.sendToQueue('confirmations', { id }, { messageId: id }))),
    );
  }

  async function untilAllIsHandled(): Promise<void> {
    const left = async (): Promise<number | undefined> =>
      (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'confirmations')?.messages;
    await until('nothing is left', async () => (await left()) === 0, { timeoutMs: 20_000 });
  }

  function mailsOf(processes: Fleet): Map<string, number> {
    const mails = new Map<string, number>();
    for (const [, id] of processes.output.matchAll(/mailed (\S+)/g)) mails.set(id!, (mails.get(id!) ?? 0) + 1);
    return mails;
  }

  const doubles = (mails: Map<string, number>): number =>
    [...mails.values()].reduce((sum, times) => sum + times - 1, 0);

  it('sends one mail for each', async () => {
    const processes = await fleet(MAIN);
    await publishThrice(100);
    await untilAllIsHandled();
    const mails = mailsOf(processes);
    expect({ mailed: mails.size, doubles: doubles(mails) }).toEqual({ mailed: 100, doubles: 0 });
  }, 60_000);

  it('loses none when a process is killed, and doubles at most what that one had in hand', async () => {
    const processes = await fleet(MAIN);
    await publishThrice(200);
    await until('they are at work', () => mailsOf(processes).size > 50, { everyMs: 5 });
    await processes.killOne();
    await untilAllIsHandled();
    const mails = mailsOf(processes);
    expect(mails.size).toBe(200);
    expect(doubles(mails)).toBeLessThanOrEqual(IN_HAND);
  }, 60_000);

  it('control: without deduplication three mails go out for each', async () => {
    const processes = await fleet(NAIVE);
    await publishThrice(100);
    await untilAllIsHandled();
    const mails = mailsOf(processes);
    expect({ mailed: mails.size, doubles: doubles(mails) }).toEqual({ mailed: 100, doubles: 200 });
  }, 60_000);
});
