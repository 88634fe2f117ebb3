import { describe, expect, it } from '@jest/globals';
import type { Delivery } from '#engine/consuming/delivery/delivery.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import type { StreamStart } from '#engine/consuming/options/stream-position.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

const asStream = { queueOptions: { type: 'stream' } } as const;

describe('a subscription on a stream', () => {
  const faults = useFaults();

  /** A stream with the payloads 0, 1, 2 ... at the offsets of the same numbers. */
  async function streamOf(count: number): Promise<void> {
    const { session } = await bareClient(faults);
    const channel = await session.createConfirmChannel();
    await channel.assertQueue('log', { arguments: { 'x-queue-type': 'stream' } });
    for (let i = 0; i < count; i++)
      channel.sendToQueue('log', Buffer.from(`${i}`), { contentType: 'application/json' });
    await channel.waitForConfirms();
    await channel.close();
  }

  it.each<[StreamStart, number[]]>([
    ['first', [0, 1, 2, 3, 4]],
    [3, [3, 4]],
    [new Date(0), [0, 1, 2, 3, 4]],
    ['next', []],
  ])('begins at %s, and tells the offsets', async (streamOffset, expected) => {
    await streamOf(5);
    const seen: unknown[] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'log', streamOffset }, (number, delivery) => {
      expect(delivery.streamOffset).toBe(number);
      seen.push(number);
    });
    await started(connection);
    await connection.publisher.sendToQueue('log', 5);
    await until('the newest arrived', () => seen.includes(5));
    expect(seen).toEqual([...expected, 5]);
    await until('all are acked', () => connection.status().counters.acked === seen.length);
  });

  it('begins anew in a stream that was deleted and made again, with what was published before we were back', async () => {
    const connection = faults.connect();
    const seen: string[] = [];
    connection.subscribe<string>({ queue: 'log', ...asStream, streamOffset: 'first' }, (text) => void seen.push(text));
    await started(connection);
    const old = ['old 0', 'old 1', 'old 2'];
    for (const text of old) await connection.publisher.sendToQueue('log', text);
    await until('all arrived', () => seen.length === old.length);
    await faults.broker.deleteQueue('log', faults.vhost.name);
    await until('it is back', () => faults.oracle.eventsOf('consumer-attached').some(({ event }) => event.restored));
    await connection.publisher.sendToQueue('log', 'new 0');
    await until('the new one arrived', () => seen.length > old.length);
    expect(seen).toEqual([...old, 'new 0']);
  });

  it('control: at its old offset a consumer waits without a word', async () => {
    await streamOf(3);
    const { channel } = await bareClient(faults);
    await channel.prefetch(10);
    const seen: string[] = [];
    const read = (message: { content: Buffer } | null) => void seen.push(String(message?.content));
    await channel.consume('log', read, { arguments: { 'x-stream-offset': 5 } });
    const { session } = await bareClient(faults);
    const writer = await session.createConfirmChannel();
    for (let i = 3; i < 6; i++) writer.sendToQueue('log', Buffer.from(`${i}`));
    await writer.waitForConfirms();
    await until('the stream has grown to it', () => seen.length > 0);
    expect(seen).toEqual(['5']);
  });

  it('goes on behind what was settled after a reconnect, and not from the start', async () => {
    await streamOf(50);
    const seen: number[] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'log', streamOffset: 'first' }, (number) => void seen.push(number));
    await started(connection);
    await until('all arrived', () => seen.length === 50);
    await until('all are acked', () => connection.status().counters.acked === 50);
    await faults.broker.closeAllConnections('maintenance');
    await until('it is back', () => faults.oracle.eventsOf('consumer-attached').some(({ event }) => event.restored));
    await connection.publisher.sendToQueue('log', 50);
    await until('the next one arrived', () => seen.includes(50));
    expect(seen).toEqual(Array.from({ length: 51 }, (_, i) => i));
  });

  it('goes back to the oldest message that was not settled when the link was lost, and skips none', async () => {
    await streamOf(30);
    const held = new Map<number, Delivery>();
    let isHolding = true;
    const handled: number[] = [];
    const connection = faults.connect();
    connection.subscribe<number>(
      { queue: 'log', streamOffset: 'first', ack: 'manual', prefetch: 10 },
      (number, delivery) => {
        if (isHolding && number >= 4 && number % 2 === 0) return void held.set(number, delivery);
        handled.push(number);
        delivery.ack();
      },
    );
    await started(connection);
    await until('ten are in hand', () => held.size === 10);
    isHolding = false;
    const before = handled.length;
    await faults.broker.closeAllConnections('maintenance');
    await until('the last one came', () => handled.includes(29));
    // Those beyond the oldest unsettled one come a second time: at least once.
    expect(handled.slice(before)).toEqual(Array.from({ length: 26 }, (_, i) => i + 4));
    expect([...held.values()].some((delivery) => delivery.ack())).toBe(false);
  });

  it('moves what failed or was rejected to the dead-letter queue, and takes nothing back', async () => {
    await streamOf(4);
    const seen: number[] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'log', streamOffset: 'first' }, (number, delivery) => {
      seen.push(number);
      if (number === 0) throw new Error('broken');
      if (number === 1) return Settlement.reject();
      if (number === 2) return Settlement.requeue();
      expect([delivery.requeue(), delivery.isSettled]).toEqual([false, false]);
      return undefined;
    });
    await started(connection);
    await until('all are settled', () => connection.status().counters.acked === 4);
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(connection.status().counters).toMatchObject({ deadLettered: 3, requeued: 0, rejected: 0 });
    const dead = (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'log.dead');
    expect(dead).toMatchObject({ messages: 3, type: 'classic' });
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('goes on after a pause where it stopped', async () => {
    await streamOf(20);
    const seen: number[] = [];
    let letGo = (): void => undefined;
    const hold = new Promise<void>((resolve) => (letGo = resolve));
    const connection = faults.connect();
    const subscription = connection.subscribe<number>(
      { queue: 'log', streamOffset: 'first', concurrency: 1 },
      async (number) => {
        seen.push(number);
        if (number === 3) await hold;
      },
    );
    await started(connection);
    await until('one is held', () => seen.length === 4);
    await subscription.pause();
    letGo();
    await until('it is idle', () => connection.status().counters.handlersRunning === 0);
    await subscription.resume();
    await until('all came', () => seen.length >= 20);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('skips none that were given back by a pause, when the link is lost while a later one still runs', async () => {
    await streamOf(5);
    const running: number[] = [];
    const handled: number[] = [];
    const letGo: (() => void)[] = [];
    const isHeld = (number: number): boolean => letGo.length < 3 && number !== 2 && number !== 4;
    const connection = faults.connect();
    // 0, 1 and 2 in a row, and 3 beside them.
    const lane = (number: number): number => (number < 3 ? 0 : number);
    const subscription = connection.subscribe<number>(
      { queue: 'log', streamOffset: 'first', orderedBy: lane },
      async (number, delivery) => {
        running.push(number);
        if (isHeld(number)) await new Promise<void>((resolve) => letGo.push(resolve));
        if (delivery.isLive) handled.push(number);
      },
    );
    await started(connection);
    await until('0 and 3 run, and 1 and 2 wait', () => letGo.length === 2 && handled.includes(4));
    await subscription.pause();
    letGo[0]!();
    await until('0 is done', () => handled.includes(0));
    await subscription.resume();
    await until('1 runs', () => running.includes(1));
    await faults.broker.closeAllConnections('maintenance');
    await until('none was skipped', () => [0, 1, 2, 3, 4].every((number) => handled.includes(number)));
    for (const resolve of letGo) resolve();
  });

  it('control: bare amqplib, consuming again as it did before, gets all of the stream again', async () => {
    await streamOf(5);
    const seen: string[] = [];
    for (let round = 0; round < 2; round++) {
      const { channel } = await bareClient(faults);
      await channel.prefetch(10);
      const take = (message: { content: Buffer } | null): unknown => message && seen.push(message.content.toString());
      await channel.consume('log', take, { arguments: { 'x-stream-offset': 'first' } });
      await until('the stream was read', () => seen.length === 5 * (round + 1));
    }
    expect(seen).toEqual(['0', '1', '2', '3', '4', '0', '1', '2', '3', '4']);
  });

  it.each<[string, object, RegExp]>([
    ['without acks', { ...asStream, ack: 'none' }, /log"\.ack: the acks are what keeps a stream flowing/],
    [
      'with an offset that would be used again',
      { consumerArguments: { 'x-stream-offset': 'first' } },
      /Use streamOffset/,
    ],
    [
      'with an offset for a queue',
      { queueOptions: { type: 'quorum' }, streamOffset: 1 },
      /a "quorum" queue has no off/,
    ],
  ])('is refused at boot %s', (_, options, message) => {
    const connection = faults.connect();
    expect(() => connection.subscribe({ queue: 'log', ...options }, () => undefined)).toThrow(message);
  });
});
