import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect as connectSocket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RelayRequest } from '#engine/relay/shared/relay-messages.js';
import { newDoorPlace } from '#engine/relay/shared/door-folders.js';
import { RelayThread } from '#engine/relay/relay-thread.js';
import { Relay } from '#engine/relay/relay.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const REPLACED_WITHIN_MS = 1_000;

describe('F31: when the heartbeat thread dies', () => {
  const faults = useFaults();
  const heartbeat = { thread: 'worker', timeoutSeconds: 10 } as const;

  /** The threads that are started from now on, oldest first. */
  function startedThreads(): Worker[] {
    const threads: Worker[] = [];
    const note = (message: unknown): void => void threads.push((message as { worker: Worker }).worker);
    subscribe('worker_threads', note);
    faults.afterwards(() => unsubscribe('worker_threads', note));
    return threads;
  }

  async function consuming(options: Partial<RmqConnectionOptions> = {}) {
    const connection = faults.connect({ heartbeat, ...options });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  const dialTo = (port: number): RelayRequest => ({
    host: '127.0.0.1',
    port,
    tls: null,
    timeoutMs: 5_000,
    pace: { sendAfterTimeouts: 0.5, sendWithinMs: null, deadAfterTimeouts: 1.5 },
    maxStallMs: 60_000,
    onStallLimit: 'close',
  });

  it('the loss is seen at once, named, and another thread and link replace it within a second, with nothing lost', async () => {
    const threads = startedThreads();
    const connection = await consuming();
    await faults.oracle.publish(connection, '', 'work', 'before');
    const publishes = Array.from({ length: 500 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`));
    const diedAt = performance.now();
    await threads[0]!.terminate();
    await until('both links are back', () => connection.status().reconnects === 2, { everyMs: 5 });
    expect(faults.tookMs(diedAt)).toBeLessThanOrEqual(REPLACED_WITHIN_MS);
    await Promise.all(publishes);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(threads).toHaveLength(2);
    const losses = faults.oracle.eventsOf('link-lost');
    expect(losses.map(({ event }) => (event.cause as { code?: string }).code)).toEqual([
      'RMQ_HEARTBEAT_THREAD',
      'RMQ_HEARTBEAT_THREAD',
    ]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('again and again, no thread stays behind, and none is left when the connection is closed', async () => {
    const threads = startedThreads();
    const connection = await consuming({ links: 'shared' });
    for (let round = 1; round <= 5; round++) {
      await threads.at(-1)!.terminate();
      await until('it is back', () => connection.status().reconnects === round);
    }
    await connection.close();
    expect(threads).toHaveLength(6);
    expect(threads.map(({ threadId }) => threadId)).toEqual(threads.map(() => -1));
  });

  it('one thread serves all connections, until the last of them is closed', async () => {
    const threads = startedThreads();
    const [first, second] = [await consuming(), await consuming({ links: 'shared' })];
    expect(threads).toHaveLength(1);
    await first.close();
    expect(second.state.name).toBe('open');
    expect(threads[0]!.threadId).not.toBe(-1);
    await second.close();
    expect(threads[0]!.threadId).toBe(-1);
  });

  it('a thread that hangs is taken for dead as well, and its links end', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    faults.afterwards(() => server.close());
    const thread = new RelayThread(new URL('../support/programs/worker-that-hangs.mjs', import.meta.url));
    faults.afterwards(() => thread.close());
    const { port } = server.address() as { port: number };
    const passage = await thread.dial(dialTo(port), new AbortController().signal);
    const client = connectSocket({ path: passage.path }).on('error', () => undefined);
    await once(client, 'connect');
    expect(passage.isLost).toBe(false);
    await once(client.resume(), 'close');
    expect(passage.isLost).toBe(true);
    expect(passage.errorBehind(new Error('Unexpected close'))).toMatchObject({
      code: 'RMQ_HEARTBEAT_THREAD',
      message: expect.stringContaining('it did not turn for 5'),
    });
  }, 20_000);

  it('one that cannot be ended, being in a system call, is not waited for', async () => {
    const threads = startedThreads();
    const thread = new RelayThread(new URL('../support/programs/worker-in-a-system-call.mjs', import.meta.url));
    let hasExited = false;
    threads[0]!.once('exit', () => (hasExited = true));
    await once(threads[0]!, 'online');
    let lastTurn = thread.workerTicks;
    await until('it turns', () => thread.workerTicks > lastTurn);
    await until(
      'it does not turn any more',
      () => {
        const isStill = thread.workerTicks === lastTurn;
        lastTurn = thread.workerTicks;
        return isStill;
      },
      { everyMs: 1_000 },
    );
    const askedAt = performance.now();
    await thread.close();
    expect(faults.tookMs(askedAt)).toBeLessThan(2_000);
    expect(hasExited).toBe(false);
    await until('it ends by itself', () => hasExited);
  }, 20_000);

  it('whenever it dies on the way to a link, the dial fails at once or the door is closed, and no file stays behind', async () => {
    const threads = startedThreads();
    const folder = await mkdtemp(join(tmpdir(), 'f31-'));
    faults.afterwards(() => rm(folder, { recursive: true }));
    const outcomes: string[] = [];
    // From before it runs to after the door is open.
    for (let delayMs = 0; outcomes.filter((one) => one === 'at the door').length < 10; delayMs += 3) {
      const thread = new RelayThread(undefined, newDoorPlace(folder));
      const dialled = thread.dial(dialTo(faults.broker.port), new AbortController().signal).then(
        () => 'at the door',
        ({ code }: { code?: string }) => code ?? 'without a code',
      );
      setTimeout(() => void threads.at(-1)!.terminate(), delayMs);
      outcomes.push(await dialled);
      await until('it is dead', () => thread.deadBecause !== undefined);
      await thread.close();
      expect(await readdir(folder)).toEqual([]);
    }
    expect([...new Set(outcomes)].sort()).toEqual(['RMQ_HEARTBEAT_THREAD', 'at the door']);
    // Control: a thread that lives has its door there.
    const living = new RelayThread(undefined, newDoorPlace(folder));
    await living.dial(dialTo(faults.broker.port), new AbortController().signal);
    expect(await readdir(folder)).toHaveLength(1);
    await living.close();
    expect(await readdir(folder)).toEqual([]);
  }, 60_000);

  it('a place where it can make no door is named, with the way out', async () => {
    const thread = new RelayThread(undefined, newDoorPlace('/there/is/no/such/folder'));
    faults.afterwards(() => thread.close());
    await expect(thread.dial(dialTo(faults.broker.port), new AbortController().signal)).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringMatching(/cannot make one in \/there\/is\/no\/such\/folder: .*Set TMPDIR/),
    });
    expect(thread.deadBecause).toBeUndefined();
  });

  it('a thread that cannot start at all says what to do, again and again, and the service goes on trying', async () => {
    const thread = new RelayThread(new URL('../support/there-is-no-such-file.mjs', import.meta.url));
    const dialled = thread.dial(dialTo(await findFreePort()), new AbortController().signal);
    await expect(dialled).rejects.toMatchObject({
      code: 'RMQ_HEARTBEAT_THREAD',
      message: expect.stringContaining("use heartbeat.thread: 'main'"),
    });
    await thread.close();
  });

  it('where no thread can run the boot says so and how to go on, and nothing is dialled', async () => {
    const service = (...more: string[]): TypescriptChild => {
      const program = new URL('../support/programs/blocking-service.ts', import.meta.url);
      const nodeOptions = ['--experimental-permission', '--allow-fs-read=*', '--allow-fs-write=*', ...more];
      const child = TypescriptChild.start(program, {
        nodeOptions,
        args: [faults.vhost.url, JSON.stringify(heartbeat)],
      });
      faults.afterwards(() => child.dispose());
      return child;
    };
    const refused = service();
    expect(await refused.untilEnded()).toMatchObject({ exitCode: 1 });
    expect(refused.stderr).toMatch(
      /cannot run in this process: .*ERR_ACCESS_DENIED|cannot run in this process: Access/,
    );
    expect(refused.stderr).toContain('allow workers (--allow-worker');
    expect(refused.facts()).toEqual([]);
    // Control: with a thread the same service is there.
    const allowed = service('--allow-worker');
    await until('it is ready', () => allowed.facts<{ fact: string }>().some(({ fact }) => fact === 'ready'), {
      timeoutMs: 30_000,
    });
  }, 60_000);

  it('control: bare amqplib, which came through the same thread, is gone for good', async () => {
    const threads = startedThreads();
    const share = new Relay().share();
    const { path } = await share.dial(dialTo(faults.broker.port), new AbortController().signal);
    const session = await connect(faults.vhost.url, { path });
    let isOver = false;
    session.on('error', () => undefined);
    session.on('close', () => (isOver = true));
    const channel = await session.createChannel();
    await channel.assertQueue('work');
    await channel.consume('work', () => undefined);
    await threads[0]!.terminate();
    await until('it noticed', () => isOver);
    await until(
      'the consumer is gone',
      async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 0,
    );
    await expect(session.createChannel()).rejects.toThrow(/closed/i);
    await share.release();
  });
});
