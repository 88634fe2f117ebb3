import { describe, expect, it } from '@jest/globals';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import {
  OutboxFullError,
  PublishAbortedError,
  PublishNackedError,
  PublishReturnedError,
  PublishTimeoutError,
} from '#engine/errors/publish-errors.js';
import type { OutboxOptions } from '#engine/publishing/sending/outbox.js';
import type { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const faults = useFaults();

interface Outage {
  connection: RmqConnection;
  proxy: FaultProxy;
  /** Publishes `m<from>` to `m<to>`; those that were refused so far are in the oracle. */
  publish(from: number, to: number, options?: { timeoutMs?: number; bytes?: number }): void;
  refused(): string[];
  /** The broker can be reached again; resolves when what was held is confirmed and consumed. */
  end(): Promise<void>;
}

/** A connection that was open, and whose broker cannot be reached now. */
async function outage(outbox: OutboxOptions, connect = faults.connect): Promise<Outage> {
  const proxy = await faults.proxy();
  const connection = connect({ urls: proxy.url(faults.vhost.url), outbox });
  connection.subscribe({ queue: 'work' }, faults.oracle.consume);
  await connection.start();
  await connection.publisher.sendToQueue('work', { id: 'before' });
  // Its ack was read: it does not come back.
  await until('the queue is empty', async () => {
    const queues = await faults.broker.listQueues(faults.vhost.name);
    return queues.some(({ name, messages }) => name === 'work' && messages === 0);
  });
  await proxy.refuse();
  proxy.reset();
  await until('both links are lost', () => connection.status().links.every(({ state }) => state !== 'open'));
  return {
    connection,
    proxy,
    publish(from, to, { timeoutMs, bytes = 0 } = {}) {
      for (let i = from; i <= to; i++) {
        const id = `m${i}`;
        const sent = connection.publisher.sendToQueue(
          'work',
          { id, padding: 'x'.repeat(bytes) },
          { messageId: id, timeoutMs },
        );
        sent.then(
          () => faults.oracle.confirmed.add(id),
          (error: Error) => faults.oracle.rejected.push({ id, error }),
        );
      }
    },
    refused: () => faults.oracle.rejected.map(({ id }) => id),
    async end() {
      const held = connection.status().outbox;
      const expected = faults.oracle.confirmed.size + held.queued + held.inFlight + held.waiting;
      await proxy.accept();
      await until('everything held is confirmed', () => faults.oracle.confirmed.size === expected);
      await faults.oracle.expectNothingLost();
    },
  };
}

const ids = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `m${from + i}`);

/** Lets the promises settle that were rejected in this turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("F16: when the outbox is full and the broker is down, with whenFull 'reject'", () => {
  it.each([
    { bound: { maxMessages: 10 }, bytes: 0 },
    { bound: { maxBytes: 10 * 1024 + 500 }, bytes: 1_024 - 24 },
  ])('keeps what fits in $bound and tells each other caller at once', async ({ bound, bytes }) => {
    const { connection, publish, refused, end } = await outage({ ...bound, whenFull: 'reject' });
    publish(1, 15, { bytes });
    await turn();
    expect(refused()).toEqual(ids(11, 15));
    for (const { id, error } of faults.oracle.rejected) {
      expect(error).toBeInstanceOf(OutboxFullError);
      expect(error).toMatchObject({ code: 'RMQ_OUTBOX_FULL', messageId: id, routingKey: 'work' });
      expect(error.message).toMatch(/was not accepted: the outbox holds 10 messages/);
    }
    expect(connection.status().outbox).toMatchObject({ queued: 10, inFlight: 0, waiting: 0 });
    await end();
    expect([...faults.oracle.confirmed].sort()).toEqual(ids(1, 10).sort());
    expect(connection.status().counters.publishFailed).toBe(5);
  });
});

describe("F16: when the outbox is full and the broker is down, with whenFull 'wait'", () => {
  it.each([
    { bound: { maxMessages: 12 }, bytes: 0 },
    { bound: { maxBytes: 12 * 1024 + 500 }, bytes: 1_024 - 24 },
  ])('holds $bound, lets a quarter of that wait, and tells each other caller at once', async ({ bound, bytes }) => {
    const { connection, publish, refused, end } = await outage({ ...bound, whenFull: 'wait' });
    publish(1, 25, { bytes });
    await turn();
    expect(refused()).toEqual(ids(16, 25));
    expect(faults.oracle.rejected[0]!.error.message).toMatch(/and 3 wait for room/);
    for (const { error } of faults.oracle.rejected) expect(error).toBeInstanceOf(OutboxFullError);
    expect(connection.status().outbox).toMatchObject({ queued: 12, waiting: 3 });
    await end();
    // First in, first out, also through the waiting room.
    expect([...faults.oracle.consumed.keys()].filter((id) => id !== 'before')).toEqual(ids(1, 15));
  });

  it('tells those that waited longer than their time limit, and gives their room to the next ones', async () => {
    const { connection, publish, refused, end } = await outage({ maxMessages: 40, whenFull: 'wait' });
    publish(1, 40);
    // The first of those that wait has time; the ones behind it have not.
    publish(41, 41);
    const publishedAt = performance.now();
    publish(42, 50, { timeoutMs: 300 });
    await until('they were told', () => refused().length === 9, { everyMs: 5 });
    expect(faults.tookMs(publishedAt)).toBeLessThanOrEqual(300 + 1_000);
    expect(refused()).toEqual(ids(42, 50));
    for (const { error } of faults.oracle.rejected) {
      expect(error).toBeInstanceOf(PublishTimeoutError);
      expect(error).toMatchObject({ code: 'RMQ_PUBLISH_TIMEOUT', wasSent: false });
    }
    expect(connection.status().outbox).toMatchObject({ queued: 40, waiting: 1 });
    publish(51, 59);
    await turn();
    expect(refused()).toHaveLength(9);
    await end();
    expect([...faults.oracle.consumed.keys()].filter((id) => id !== 'before')).toEqual([...ids(1, 41), ...ids(51, 59)]);
  });
});

describe("F16: when the outbox is full and the broker is down, with whenFull 'drop-oldest'", () => {
  it.each([
    { bound: { maxMessages: 10 }, bytes: 0 },
    { bound: { maxBytes: 10 * 1024 + 500 }, bytes: 1_024 - 24 },
  ])('keeps the newest within $bound, and tells the caller of each one dropped', async ({ bound, bytes }) => {
    const { connection, publish, refused, end } = await outage({ ...bound, whenFull: 'drop-oldest' });
    publish(1, 25, { bytes });
    await turn();
    expect(refused()).toEqual(ids(1, 15));
    for (const { id, error } of faults.oracle.rejected) {
      expect(error).toBeInstanceOf(OutboxFullError);
      expect(error).toMatchObject({ code: 'RMQ_OUTBOX_FULL', messageId: id });
      expect(error.message).toMatch(/was dropped for a newer one/);
    }
    expect(connection.status().outbox).toMatchObject({ queued: 10, waiting: 0 });
    await end();
    expect([...faults.oracle.consumed.keys()].filter((id) => id !== 'before')).toEqual(ids(16, 25));
  });
});

describe('F16: when an outage lasts', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const heldBytes = (): number => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers;
  };

  /** The oracle keeps every error, and an error keeps what its stack passed through: the message. */
  const connectUnwatched: typeof faults.connect = (options) => {
    const connection = new RmqConnection({ urls: faults.vhost.url, ...options });
    faults.afterwards(() => connection.close({ drainTimeoutMs: 100 }));
    return connection;
  };

  it.each(['reject', 'wait', 'drop-oldest'] as const)(
    'keeps nothing of what was published and given up meanwhile (%s)',
    async (whenFull) => {
      const maxBytes = 2 * 1024 * 1024;
      const { connection } = await outage({ maxBytes, whenFull }, connectUnwatched);
      const before = heldBytes();
      for (let wave = 1; wave <= 8; wave++) {
        // 4 MB a wave; each message is given up before the next one. Nothing of it is kept here, not even the errors.
        let pending = 256;
        for (let i = 0; i < 256; i++)
          connection.publisher.sendToQueue('work', 'x'.repeat(16 * 1024), { timeoutMs: 1 }).then(
            () => undefined,
            () => (pending -= 1),
          );
        await until('the wave is given up', () => pending === 0, { everyMs: 5 });
      }
      // Nothing is left of the 32 MB; the buffers of the last wave may take another collection.
      await until('the memory is free', () => heldBytes() - before <= maxBytes / 2);
      expect(connection.status().outbox).toMatchObject({ queued: 0, inFlight: 0, waiting: 0, bytes: 0 });
    },
  );
});

describe('F16: when the broker refuses a message', () => {
  it('every caller gets the error of its own message: nacked, returned, or none', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', exchange: 'shop', routingKey: 'order.*' }, faults.oracle.consume);
    connection.addTopology({
      queues: [{ name: 'full' }],
      bindings: [{ exchange: 'shop', queue: 'full', routingKey: 'full' }],
    });
    await connection.start();
    await connection.publisher.publish('shop', 'full', { id: 'fills it' });
    await faults.broker.setPolicy('full', '^full$', { 'max-length': 1, overflow: 'reject-publish' }, faults.vhost.name);
    await until('the policy holds', () =>
      connection.publisher.publish('shop', 'full', {}).then(
        () => false,
        () => true,
      ),
    );
    const keys = ['order.new', 'full', 'nowhere'];
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => faults.oracle.publish(connection, 'shop', keys[i % 3]!, `m${i}`)),
    );
    expect(faults.oracle.confirmed.size).toBe(100);
    expect(faults.oracle.rejected).toHaveLength(200);
    for (const { id, error } of faults.oracle.rejected) {
      const isFull = Number(id.slice(1)) % 3 === 1;
      expect(error).toBeInstanceOf(isFull ? PublishNackedError : PublishReturnedError);
      expect(error).toMatchObject(
        isFull
          ? { code: 'RMQ_PUBLISH_NACKED', messageId: id, exchange: 'shop', routingKey: 'full' }
          : {
              code: 'RMQ_PUBLISH_RETURNED',
              messageId: id,
              routingKey: 'nowhere',
              replyCode: 312,
              replyText: 'NO_ROUTE',
            },
      );
    }
    await connection.publisher.publish('shop', 'nowhere', {}, { mandatory: false });
    await faults.oracle.expectNothingLost();
  });

  it('a caller that aborts is told, before, during and after the wait', async () => {
    const { connection, end } = await outage({});
    const aborted = AbortSignal.abort(new Error('changed my mind'));
    await expect(connection.publisher.sendToQueue('work', {}, { signal: aborted })).rejects.toBeInstanceOf(
      PublishAbortedError,
    );
    const controller = new AbortController();
    const waiting = connection.publisher.sendToQueue('work', { id: 'aborted' }, { signal: controller.signal });
    const kept = faults.oracle.publish(connection, '', 'work', 'kept');
    controller.abort(new Error('changed my mind'));
    await expect(waiting).rejects.toMatchObject({
      code: 'RMQ_PUBLISH_ABORTED',
      cause: expect.objectContaining({ message: 'changed my mind' }),
    });
    await end();
    await kept;
    controller.abort();
    expect(faults.oracle.consumed.has('aborted')).toBe(false);
  });

  it('control: bare amqplib loses messages to nowhere and to a full queue without a word', async () => {
    const { session, channel, errors } = await bareClient(faults);
    await channel.assertQueue('full', { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } });
    const told: unknown[] = [];
    channel.on('return', (message) => told.push(message));
    for (let i = 0; i < 10; i++) channel.sendToQueue(i % 2 === 0 ? 'full' : 'nowhere', Buffer.from('{}'));
    // A round trip on the same channel: the broker has seen them all.
    expect(await channel.checkQueue('full')).toMatchObject({ messageCount: 1 });
    expect([...told, ...errors]).toEqual([]);
    await session.close();
    expect(() => channel.sendToQueue('full', Buffer.from('{}'))).toThrow('Channel closed');
  });
});
