import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const STREAM = { arguments: { 'x-queue-type': 'stream' } };
/** RabbitMQ 3.10 has no default types. */
const hasDefaultTypes = process.env['RMQ_BROKER_VERSION'] === '3.10' ? it.skip : it;
const RETRY = { attempts: 3, firstDelayMs: 50 };

describe('F44: when a queue is a stream, and nobody called it one', () => {
  const faults = useFaults();

  /** Publishes numbers to the queue `log`. */
  async function writer() {
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    channel.on('error', () => undefined);
    return {
      channel,
      async write(numbers: readonly number[], headers?: object): Promise<void> {
        for (const number of numbers)
          channel.sendToQueue('log', Buffer.from(`${number}`), { contentType: 'application/json', headers });
        await channel.waitForConfirms();
      },
    };
  }

  async function consume(
    handle: (number: number) => unknown = () => undefined,
    options: Partial<SubscriptionOptions<number>> = {},
  ): Promise<{ connection: RmqConnection; seen: number[] }> {
    const seen: number[] = [];
    const connection = faults.connect({ connectionName: 'reader' });
    connection.subscribe<number>({ queue: 'log', ifQueueMissing: 'wait', ...options }, (number) => {
      seen.push(number);
      return handle(number);
    });
    await started(connection);
    return { connection, seen };
  }

  /** Ends the reader's link, and publishes before it is back. */
  async function outage(whileDown: () => Promise<unknown>): Promise<void> {
    const restored = () => faults.oracle.eventsOf('consumer-attached').filter(({ event }) => event.restored).length;
    const before = restored();
    const down = until('the link is down', () => faults.oracle.eventsOf('link-lost').length > 0, { everyMs: 1 });
    await faults.broker.closeConnection('reader default consuming');
    await down;
    await whileDown();
    await until('it is back', () => restored() > before);
  }

  it('none is skipped that was published during an outage, and it is told once', async () => {
    const { channel, write } = await writer();
    await channel.assertQueue('log', STREAM);
    const { connection, seen } = await consume();
    await write([0, 1]);
    await until('they are acked', () => connection.status().counters.acked === 2);
    await outage(() => write([2, 3]));
    await write([4]);
    await until('the last one came', () => seen.includes(4));
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    await outage(() => write([5]));
    await until('it came', () => seen.includes(5));
    expect(faults.oracle.eventsOf('stream-found').map(({ event }) => event)).toEqual([
      { type: 'stream-found', subscription: 'log', queue: 'log' },
    ]);
  });

  hasDefaultTypes('because of the default type of the vhost: it is the same', async () => {
    await faults.broker.setDefaultQueueType(faults.vhost.name, 'stream');
    const { connection, seen } = await consume(() => undefined, { ifQueueMissing: 'declare' });
    const { write } = await writer();
    await write([0]);
    await until('it came', () => seen.length === 1);
    await outage(() => write([1]));
    await until('the other one came', () => seen.includes(1));
    expect(seen).toEqual([0, 1]);
    expect(connection.status().topology.refused).toEqual([]);
  });

  it('what fails, is rejected or given back goes the way of a stream, and costs no link', async () => {
    const { channel, write } = await writer();
    await channel.assertQueue('log', STREAM);
    const { connection, seen } = await consume(
      (number) => {
        if (number === 0) throw new Error('broken');
        return [undefined, Settlement.requeue(), Settlement.retryIn(100), Settlement.reject()][number];
      },
      { retry: RETRY },
    );
    await write([0, 1, 2, 3, 4]);
    await until('all are settled', () => connection.status().counters.acked === 5);
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(connection.status().counters).toMatchObject({ deadLettered: 4, retried: 0, requeued: 0, rejected: 0 });
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('a queue whose messages have come from a stream (a shovel) is none: it takes back, and tries again', async () => {
    const { channel, write } = await writer();
    await channel.assertQueue('log');
    await write([0], { 'x-stream-offset': 17 });
    await write([1], { 'x-stream-offset': 18 });
    const tries = new Map<number, number>();
    const { connection, seen } = await consume(
      (number) => {
        tries.set(number, (tries.get(number) ?? 0) + 1);
        if (tries.get(number) === 2) return undefined;
        if (number === 0) return Settlement.requeue();
        throw new Error('broken');
      },
      { retry: RETRY },
    );
    await until('both had two tries', () => connection.status().counters.acked === 3);
    expect(connection.status().counters).toMatchObject({ requeued: 1, retried: 1, deadLettered: 0 });
    await outage(async () => undefined);
    await write([2], { 'x-stream-offset': 19 });
    await until('it came', () => seen.includes(2));
    expect(faults.oracle.eventsOf('stream-found')).toEqual([]);
    expect(faults.oracle.eventsOf('consumer-refused')).toEqual([]);
  });

  it('and is a queue again after somebody made it anew: it is consumed as that', async () => {
    const { channel, write } = await writer();
    await channel.assertQueue('log', STREAM);
    const { connection, seen } = await consume();
    await write([0]);
    await until('it came', () => connection.status().counters.acked === 1);
    await faults.broker.deleteQueue('log', faults.vhost.name);
    // RabbitMQ 3.10 may close a connection with 541 that declares the name while the stream of before is on its way out.
    const anew = await until('somebody made it anew', async () => {
      const next = await writer();
      await next.channel.assertQueue('log');
      return next;
    });
    await anew.write([1]);
    await until('it came', () => seen.includes(1));
    expect(connection.status().consumers).toMatchObject({ attached: 1, missing: [] });
  });

  it('dead letters in a stream cannot be listed, and asking for them costs nobody the link', async () => {
    const { channel } = await writer();
    await channel.assertQueue('log.dead', STREAM);
    channel.sendToQueue('log.dead', Buffer.from('1'), { contentType: 'application/json' });
    await channel.waitForConfirms();
    const { connection } = await consume(undefined, { ifQueueMissing: 'declare' });
    await expect(connection.deadLetters.list('log.dead')).rejects.toMatchObject({
      code: 'RMQ_DEAD_LETTERS_UNREACHABLE',
      message: expect.stringContaining('it is a stream'),
    });
    await expect(connection.deadLetters.purge('log.dead')).rejects.toMatchObject({
      code: 'RMQ_DEAD_LETTERS_UNREACHABLE',
    });
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('control: bare amqplib, consuming again as it did before, skips them', async () => {
    const { channel, write } = await writer();
    await channel.assertQueue('log', STREAM);
    const seen: string[] = [];
    for (const numbers of [[0], [2]]) {
      const bare = await bareClient(faults);
      await bare.channel.prefetch(10);
      await bare.channel.consume('log', (message) => {
        if (message === null) return;
        seen.push(String(message.content));
        bare.channel.ack(message);
      });
      await write(numbers);
      await until('it came', () => seen.includes(`${numbers[0]}`));
      await bare.session.close();
      await write([1]);
    }
    expect(seen).toEqual(['0', '2']);
  });
});
