/** What a test sees of the library: published, handled, dead-lettered, retried, and through accidents. */
import { expect, it } from '@jest/globals';
import type { GetMessage } from 'amqplib';
import {
  defineEvent,
  type Delivery,
  PublishReturnedError,
  type RmqConnection,
  type RmqConnectionOptions,
  Settlement,
  type SubscriptionOptions,
} from 'nestjs-rmq-keepalive';
import type { HarnessFixture } from '../../support/harness-fixture.js';
import { until } from '../../support/until.js';

interface Order {
  readonly id: string;
}

const orderPlaced = defineEvent<Order>({ exchange: 'shop', routingKey: 'order.placed' });
const orderShipped = defineEvent<Order>({ exchange: 'shop', routingKey: 'order.shipped' });
const RETRY_MS = 300;

export function libraryCases(at: HarnessFixture): void {
  /** Consumes `order.placed`, and publishes `order.shipped` unless the handler does otherwise. */
  const shop = async (
    handler?: (order: Order, delivery: Delivery) => unknown,
    options: Partial<SubscriptionOptions<Order>> = {},
    ofConnection: Partial<RmqConnectionOptions> = {},
  ): Promise<RmqConnection> => {
    const connection = at.harness.connect({
      ...ofConnection,
      topology: { exchanges: [{ name: 'shop', type: 'topic' }], queues: [{ name: 'shipped' }] },
    });
    at.afterwards(() => connection.close({ drainTimeoutMs: 500 }));
    connection.addTopology({ bindings: [{ exchange: 'shop', queue: 'shipped', routingKey: 'order.shipped' }] });
    connection.subscribe({ event: orderPlaced, queue: 'orders', ...options }, async (order, delivery) => {
      if (handler === undefined) return connection.publisher.publish(orderShipped, order);
      return (await handler(order, delivery)) as Settlement | undefined;
    });
    await connection.start();
    return connection;
  };
  const place = (...ids: string[]): Promise<unknown> =>
    Promise.all(ids.map((id) => at.harness.outside.publisher.publish(orderPlaced, { id })));

  it('shows what was handled and what was published', async () => {
    await shop();
    await place('1', '2');
    await at.harness.settled();
    expect(at.harness.handled<Order>('orders').map(({ payload, attempt }) => [payload.id, attempt])).toEqual([
      ['1', 1],
      ['2', 1],
    ]);
    expect(
      at.harness
        .published(orderShipped)
        .map(({ payload }) => payload.id)
        .sort(),
    ).toEqual(['1', '2']);
    // What the test itself did is not the module's.
    expect(at.harness.published(orderPlaced)).toEqual([]);
    expect(at.harness.handled('others')).toEqual([]);
    at.harness.clear();
    expect([at.harness.published(), at.harness.handled()]).toEqual([[], []]);
  });

  it('is settled when the last handler has ended, not before', async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    await shop(() => released);
    await place('1');
    const early = at.harness.settled({ timeoutMs: 200 });
    await expect(early).rejects.toMatchObject({
      code: 'RMQ_TEST_HARNESS',
      message: expect.stringMatching(/not quiet: .*1 handlers run/) as unknown,
    });
    release();
    await at.harness.settled();
    expect(at.harness.handled('orders')).toHaveLength(1);
  });

  it('is not settled while somebody else has a message in hand', async () => {
    const channel = await at.channel();
    await channel.assertQueue('theirs');
    await at.harness.outside.publisher.sendToQueue('theirs', {});
    const message = (await channel.get('theirs')) as GetMessage;
    await expect(at.harness.settled({ timeoutMs: 200 })).rejects.toThrow('queue "theirs": 1 messages are not acked');
    channel.ack(message);
    await at.harness.settled();
  });

  it('is settled while messages wait that nobody wants now', async () => {
    const connection = await shop();
    await connection.subscription('orders')?.pause();
    await place('1');
    await at.harness.settled();
    expect(at.harness.handled()).toEqual([]);
    await connection.subscription('orders')?.resume();
    await at.harness.settled();
    expect(at.harness.handled()).toHaveLength(1);
  });

  it('shows what a handler has thrown and what it has returned', async () => {
    await shop(({ id }) => {
      if (id === 'bad') throw new Error('no stock');
      return Settlement.ack();
    });
    await place('bad');
    await at.harness.settled();
    await place('good');
    await at.harness.settled();
    expect(at.harness.handled().map(({ outcome }) => outcome)).toEqual([
      { thrown: expect.objectContaining({ message: 'no stock' }) as unknown },
      { returned: Settlement.ack() },
    ]);
  });

  it('tries a message again when its delay is over, and not before', async () => {
    await shop(
      (_, { attempt }) => {
        if (attempt < 3) throw new Error(`attempt ${attempt}`);
      },
      { retry: { attempts: 3, firstDelayMs: RETRY_MS, factor: 1 } },
    );
    await place('1');
    await at.harness.settled();
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1]);
    await at.harness.advance(RETRY_MS);
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 2]);
    await at.harness.advance(RETRY_MS);
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    await expect(at.harness.deadLetters()).resolves.toEqual([]);
  });

  it('lets several delays pass at once, one behind the other', async () => {
    await shop(
      () => {
        throw new Error('never');
      },
      { retry: { attempts: 3, firstDelayMs: 100, factor: 1 } },
    );
    await place('1');
    await at.harness.advance(1_000);
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(await at.harness.deadLetters()).toMatchObject([{ attempts: 3 }]);
  });

  it('shows dead letters, and they can be replayed', async () => {
    let isMended = false;
    const connection = await shop(() => {
      if (!isMended) throw new Error('no stock');
    });
    await place('1');
    await at.harness.settled();
    expect(await at.harness.deadLetters()).toMatchObject([
      { subscription: 'orders', payload: { id: '1' }, error: { message: 'no stock' } },
    ]);
    isMended = true;
    await connection.deadLetters.replay({ subscription: 'orders' });
    await at.harness.settled();
    await expect(at.harness.deadLetters()).resolves.toEqual([]);
    expect(at.harness.handled('orders')).toHaveLength(2);
  });

  it('gives each delivery of a batch its place', async () => {
    const connection = await shop(() => undefined);
    const sizes: number[] = [];
    connection.subscribeBatch<Order>(
      { queue: 'bulk', queueOptions: { durable: true }, batch: { size: 3, waitMs: 50 } },
      (orders) => void sizes.push(orders.length),
    );
    await at.harness.settled();
    for (const id of ['1', '2', '3']) await at.harness.outside.publisher.sendToQueue('bulk', { id });
    await at.harness.settled();
    expect(at.harness.handled<Order>('bulk').map(({ payload }) => payload.id)).toEqual(['1', '2', '3']);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(3);
  });

  it('carries a request and its reply, both ways', async () => {
    const connection = await shop();
    connection.answer<{ n: number }>({ queue: 'double' }, ({ n }) => n * 2);
    await at.harness.settled();
    await expect(at.harness.outside.rpc.request({ queue: 'double' }, { n: 21 })).resolves.toBe(42);
    at.harness.outside.answer<{ n: number }>({ queue: 'half' }, ({ n }) => n / 2);
    await at.harness.settled();
    await expect(connection.rpc.request({ queue: 'half' }, { n: 42 })).resolves.toBe(21);
  });

  it('tells a publisher that nobody wants its message', async () => {
    const connection = await shop();
    await expect(connection.publisher.publish('shop', 'nobody.wants', {})).rejects.toBeInstanceOf(PublishReturnedError);
    expect(at.harness.published()).toEqual([]);
  });

  it('loses nothing when the link is lost', async () => {
    const connection = await shop();
    await place('1');
    await at.harness.settled();
    await at.harness.accident('link-lost');
    await place('2');
    await at.harness.settled();
    expect(connection.status().reconnects).toBeGreaterThan(0);
    expect(new Set(at.harness.handled<Order>('orders').map(({ payload }) => payload.id))).toEqual(new Set(['1', '2']));
  });

  it('delivers again what a handler had in hand when the link was lost', async () => {
    let calls = 0;
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    await shop(() => (++calls === 1 ? released : undefined));
    await place('1');
    await until('the handler runs', () => calls === 1);
    await at.harness.accident('link-lost');
    release();
    await at.harness.settled();
    expect(calls).toBe(2);
    expect(at.harness.handled('orders').some(({ redelivered }) => redelivered)).toBe(true);
  });

  it('attaches a consumer again that the broker has cancelled', async () => {
    await shop();
    await at.harness.settled();
    await at.harness.accident('consumer-cancelled');
    await place('1');
    await at.harness.settled();
    expect(at.harness.handled('orders')).toHaveLength(1);
  });

  it('sends again what was not confirmed, under the same id', async () => {
    const connection = await shop();
    await connection.publisher.publish(orderShipped, { id: 'warm-up' });
    await at.harness.accident('confirm-lost');
    await connection.publisher.publish(orderShipped, { id: '1' });
    await at.harness.settled();
    expect(at.harness.published(orderShipped).map(({ payload }) => payload.id)).toEqual(['warm-up', '1']);
    const ids: unknown[] = [];
    at.harness.outside.subscribe<Order>(
      { queue: 'shipped' },
      ({ id }, { messageId }) => void ids.push([id, messageId]),
    );
    await at.harness.settled();
    const [, first, second] = ids;
    expect(ids).toHaveLength(3);
    expect(first).toEqual(second);
  });

  it('keeps its links when the event loop was blocked for a moment', async () => {
    const connection = await shop();
    await at.harness.accident('event-loop-blocked', { forMs: 600 });
    await place('1');
    await at.harness.settled();
    expect(at.harness.handled('orders')).toHaveLength(1);
    expect(connection.status().reconnects).toBe(0);
  });

  it('restores them when that took longer than the broker waits', async () => {
    const connection = await shop(undefined, {}, { heartbeat: { timeoutSeconds: 1 } });
    await at.harness.accident('event-loop-blocked', { forMs: 3_500 });
    await until('the links are back', () => connection.status().reconnects > 0);
    await place('1');
    await at.harness.settled();
    expect(at.harness.handled('orders')).toHaveLength(1);
  });

  it('says that an accident has nothing to happen to', async () => {
    await expect(at.harness.accident('link-lost')).rejects.toMatchObject({ code: 'RMQ_TEST_HARNESS' });
    await expect(at.harness.accident('consumer-cancelled')).rejects.toMatchObject({ code: 'RMQ_TEST_HARNESS' });
  });
}
