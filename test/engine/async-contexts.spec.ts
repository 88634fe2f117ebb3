import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { SubscriptionOptions } from '#engine/consuming/options/subscription.js';
import { defineEvent } from '#engine/contracts/event.js';
import { wrappedArrivals } from '../support/arrivals.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

describe('a handler', () => {
  const faults = useFaults();
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

  async function publish(connection: RmqConnection, numbers: readonly number[]): Promise<void> {
    await Promise.all(numbers.map((number) => connection.publisher.sendToQueue('work', number)));
  }

  /** Takes a few turns of the event loop, so that others wait for it. */
  const work = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2));

  /** In the context of which arrival each of ten messages is handled: before, and after it has waited for something. */
  async function handledIn(options: Partial<SubscriptionOptions<number>>): Promise<[number, string?, string?][]> {
    const arrivals = await wrappedArrivals(faults);
    const handled: [number, string?, string?][] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'work', prefetch: 10, ...options }, async (number) => {
      const before = arrivals.current();
      await work();
      handled.push([number, before, arrivals.current()]);
    });
    await publish(connection, upTo(10));
    await started(connection);
    await until('all are handled', () => connection.status().counters.acked === 10);
    return handled.toSorted(([one], [other]) => one - other);
  }

  const eachInItsOwn = upTo(10).map((number) => [number, String(number), String(number)]);

  it.each<[string, Partial<SubscriptionOptions<number>>]>([
    ['begins at once', {}],
    ['waits for the one before it (concurrency: 1)', { concurrency: 1 }],
    ['waits for others of its key (orderedBy)', { orderedBy: (number) => number % 2 }],
    ['waits for a deduplication store', { deduplicate: { ttlMs: 60_000 }, concurrency: 2 }],
    ['waits for its schema', { event: checkedLater(), concurrency: 2 }],
  ])('runs in the async context of its own arrival when it %s', async (_, options) => {
    expect(await handledIn(options)).toEqual(eachInItsOwn);
  });

  it('control: whatever calls handlers one after the other runs them in the context of the first arrival', async () => {
    const arrivals = await wrappedArrivals(faults);
    const connection = faults.connect();
    await started(connection);
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { durable: true });
    await publish(connection, upTo(10));
    const handled: [string, string?][] = [];
    const waiting: string[] = [];
    let isBusy = false;
    const drain = async (): Promise<void> => {
      isBusy = true;
      for (let body = waiting.shift(); body !== undefined; body = waiting.shift()) {
        await work();
        handled.push([body, arrivals.current()]);
      }
      isBusy = false;
    };
    await channel.consume('work', (message) => {
      waiting.push(String(message?.content));
      if (!isBusy) void drain();
    });
    await until('all are handled', () => handled.length === 10);
    expect(handled.filter(([body, arrival]) => body !== arrival).length).toBeGreaterThan(0);
  });

  it('runs in the context of its own arrival when it waits for deliveries that are settled by hand', async () => {
    const arrivals = await wrappedArrivals(faults);
    const handled: [number, string?][] = [];
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'work', ack: 'manual', concurrency: 1, prefetch: 10 }, (number, delivery) => {
      handled.push([number, arrivals.current()]);
      setTimeout(() => delivery.ack(), 2);
    });
    await publish(connection, upTo(10));
    await started(connection);
    await until('all are acked', () => connection.status().counters.acked === 10);
    expect(handled).toEqual(upTo(10).map((number) => [number, String(number)]));
  });

  it('of a batch runs in the context of the first message of the batch, whether that is full or has waited long enough', async () => {
    const arrivals = await wrappedArrivals(faults);
    const handled: [number[], string?][] = [];
    const connection = faults.connect();
    const batch = { size: 4, waitMs: 300 };
    connection.subscribeBatch<number>({ queue: 'work', batch, concurrency: 1, prefetch: 20 }, async (numbers) => {
      await work();
      handled.push([numbers, arrivals.current()]);
    });
    await publish(connection, upTo(10));
    await started(connection);
    await until('all are acked', () => connection.status().counters.acked === 10);
    expect(handled).toEqual([
      [[0, 1, 2, 3], '0'],
      [[4, 5, 6, 7], '4'],
      [[8, 9], '8'],
    ]);
  });

  it('runs in the context of its own arrival when it came back, and those that may be poison take turns', async () => {
    const arrivals = await wrappedArrivals(faults);
    const handled: [number, string?][] = [];
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { durable: true });
    // As a process leaves them that died for the third time with them in hand.
    for (const number of upTo(4))
      channel.sendToQueue('work', Buffer.from(String(number)), {
        contentType: 'application/json',
        headers: { 'x-redelivery-count': 3 },
      });
    const connection = faults.connect();
    connection.subscribe<number>({ queue: 'work', maxRedeliveries: 4 }, async (number) => {
      await work();
      handled.push([number, arrivals.current()]);
    });
    await started(connection);
    await until('all are acked', () => connection.status().counters.acked === 4);
    expect(handled.toSorted(([one], [other]) => one - other)).toEqual(
      upTo(4).map((number) => [number, String(number)]),
    );
  });

  it('that runs into its time limit is dead-lettered in the context of its own arrival', async () => {
    const arrivals = await wrappedArrivals(faults);
    const letters: [unknown, string | undefined][] = [];
    const connection = faults.connect({
      around: {
        publish: (message, send) => {
          if (message.kind === 'dead-letter') letters.push([message.messageId, arrivals.current()]);
          return send();
        },
      },
    });
    connection.subscribe({ queue: 'work', handlerTimeoutMs: 100 }, () => new Promise(() => undefined));
    await started(connection);
    for (const number of upTo(3)) await connection.publisher.sendToQueue('work', number, { messageId: `${number}` });
    await until('all are moved', () => connection.status().counters.deadLettered === 3);
    // The first letter finds no queue, and is sent again.
    expect(new Set(letters.map(([id, context]) => `${String(id)} in ${context}`))).toEqual(
      new Set(['0 in 0', '1 in 1', '2 in 2']),
    );
  });
});

describe('a handler that enters a context of its own with enterWith()', () => {
  const faults = useFaults();
  const NUMBERS = [0, 1, 2, 3, 4];

  /** Five messages of one read. @returns what each handler finds before it enters its own */
  async function foundBy(
    storage: AsyncLocalStorage<string>,
    consume: (handle: (number: number) => void) => Promise<unknown>,
  ): Promise<(string | undefined)[]> {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { durable: true });
    for (const number of NUMBERS)
      channel.sendToQueue('work', Buffer.from(`${number}`), { contentType: 'application/json' });
    await until('all lie there', async () => (await channel.checkQueue('work')).messageCount === NUMBERS.length);
    const found: (string | undefined)[] = [];
    await consume((number) => {
      found.push(storage.getStore());
      storage.enterWith(`handler of ${number}`);
    });
    await until('all are handled', () => found.length === NUMBERS.length);
    return found;
  }

  it.each<[string, Partial<SubscriptionOptions<number>>]>([
    ['by default', {}],
    ['with concurrency: 1', { concurrency: 1 }],
    ['with acks by hand', { ack: 'manual' }],
    ['with a schema', { event: checkedLater() }],
  ])('keeps it to itself %s: the next message of the same read begins without it', async (_, options) => {
    const storage = new AsyncLocalStorage<string>();
    const connection = faults.connect();
    const found = await foundBy(storage, (handle) => {
      connection.subscribe<number>({ queue: 'work', ...options }, (number, delivery) => {
        handle(number);
        if (options.ack === 'manual') delivery.ack();
      });
      return started(connection);
    });
    expect(found).toEqual(NUMBERS.map(() => undefined));
  });

  it('control: through amqplib alone it reaches the next message', async () => {
    const storage = new AsyncLocalStorage<string>();
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { durable: true });
    const found = await foundBy(storage, (handle) =>
      channel.consume('work', (message) => handle(Number(message?.content.toString()))),
    );
    expect(found).toContain('handler of 0');
  });
});

describe('a connection that a request needs first', () => {
  const faults = useFaults();

  it('does not keep that request: what arrives later runs in none', async () => {
    const request = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const connection = faults.connect();
    await request.run('the first request', async () => {
      connection.subscribe({ queue: 'work' }, () => void seen.push(request.getStore()));
      await started(connection);
      await connection.publisher.sendToQueue('work', 1);
    });
    await until('it is handled', () => seen.length === 1);
    expect(seen).toEqual([undefined]);
  });

  it('control: a socket belongs to whoever dialled it', async () => {
    const request = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    await request.run('the first request', async () => {
      const { channel } = await bareClient(faults);
      await channel.assertQueue('work', { durable: true });
      await channel.consume('work', () => void seen.push(request.getStore()));
      channel.sendToQueue('work', Buffer.from('1'));
    });
    await until('it is handled', () => seen.length === 1);
    expect(seen).toEqual(['the first request']);
  });
});

/** An event whose schema answers later, each time after another while. */
function checkedLater() {
  const validate = async (value: unknown): Promise<{ value: unknown }> => {
    await new Promise((resolve) => setTimeout(resolve, (Number(value) * 7) % 5));
    return { value };
  };
  return defineEvent({
    exchange: '',
    routingKey: 'work',
    schema: { '~standard': { version: 1, vendor: 'spec', validate } } as never,
  });
}
