/** One constant that publisher and consumer share: where an event goes, what it is, and what checks it. */
import { describe, expect, it } from '@jest/globals';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  DEAD_LETTER_HEADERS,
  defineEvent,
  Delivery,
  type DeliveryBatch,
  type EventPayload,
  RmqPublisher,
  Subscribe,
  SubscribeBatch,
} from 'nestjs-rmq-keepalive';
import { z } from 'zod';
import { bareClient } from '../support/bare-amqplib.js';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const orderCreated = defineEvent({
  exchange: 'shop',
  routingKey: 'order.created',
  schema: z.object({ id: z.string(), quantity: z.number().int().min(1), note: z.string().default('none') }),
});
const orderShipped = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.shipped' });
const toShelf = defineEvent<{ id: string }>({ exchange: '', routingKey: 'shelf' });

const created: EventPayload<typeof orderCreated>[] = [];
const shipped: string[] = [];
const batched: unknown[] = [];

@Injectable()
class Orders {
  @Subscribe(orderCreated, { queue: 'orders', orderedBy: ({ id }) => id })
  onCreated(@Payload() order: EventPayload<typeof orderCreated>, @Ctx() _delivery: Delivery): void {
    created.push(order);
  }

  @Subscribe(orderShipped, { queue: 'shipments' })
  onShipped({ id }: EventPayload<typeof orderShipped>): void {
    shipped.push(id);
  }

  @Subscribe(toShelf, { queue: 'shelf' })
  onShelf({ id }: { id: string }): void {
    shipped.push(id);
  }

  @SubscribeBatch({ event: orderCreated, queue: 'statistics', batch: { size: 2, waitMs: 50 } })
  onMany(orders: unknown[], _batch: DeliveryBatch): void {
    batched.push(...orders);
  }
}

describe('when an event is a contract between two services', () => {
  const nest = useNest();

  it('reaches its handler as the schema makes it, one by one and in batches', async () => {
    const app = await nest.boot({ providers: [Orders] });
    created.length = batched.length = shipped.length = 0;
    const publisher = app.get(RmqPublisher);
    await publisher.publish(orderCreated, { id: 'one', quantity: 2 });
    await publisher.publish(orderShipped, { id: 'one' });
    await publisher.publish(toShelf, { id: 'two' });
    await until('all came', () => created.length === 1 && shipped.length === 2 && batched.length === 1);
    expect(created).toEqual([{ id: 'one', quantity: 2, note: 'none' }]);
    expect(batched).toEqual(created);
    expect(shipped.sort()).toEqual(['one', 'two']);
  });

  it('is dead-lettered unseen when somebody else breaks it, with the reason and without the value', async () => {
    const app = await nest.boot({ providers: [Orders] });
    created.length = 0;
    const { channel } = await bareClient(nest);
    const broken = Buffer.from(JSON.stringify({ id: 'bad', quantity: -4711 }));
    channel.publish('shop', 'order.created', broken, { contentType: 'application/json' });
    await app.get(RmqPublisher).publish(orderCreated, { id: 'good', quantity: 1 });
    await until('the good one came', () => created.length === 1);
    const letters: (Record<string, unknown> | undefined)[] = [];
    await until('it is in the dead letters', async () => {
      if (!(await nest.broker.listQueues(nest.vhost.name)).some(({ name }) => name === 'orders.dead')) return false;
      const letter = await channel.get('orders.dead', { noAck: true });
      if (letter !== false) letters.push(letter.properties.headers);
      return letters.length === 1;
    });
    expect(letters[0]).toMatchObject({
      [DEAD_LETTER_HEADERS.reason]: 'not-valid',
      [DEAD_LETTER_HEADERS.errorName]: 'PayloadInvalidError',
      [DEAD_LETTER_HEADERS.errorMessage]: expect.stringMatching(/quantity/),
    });
    expect(JSON.stringify(letters)).not.toContain('4711');
    expect(created.map(({ id }) => id)).toEqual(['good']);
  });

  it.each<[object, RegExp]>([
    [{ event: orderCreated, queue: 'q', exchange: 'other' }, /exchange: the event says it already/],
    [{ event: { exchange: 'shop', routingKey: 'x' }, queue: 'q' }, /is no event\. Give what defineEvent/],
    [{ event: toShelf, queue: 'other' }, /goes to queue "shelf" directly, and never to "other"/],
  ])('is refused at boot when it contradicts itself: %j', async (options, why) => {
    @Injectable()
    class Confused {
      @Subscribe(options as { queue: string })
      onEvent(): void {}
    }
    await expect(nest.boot({ providers: [Confused] })).rejects.toThrow(why);
  });
});
