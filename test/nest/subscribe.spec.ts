import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Injectable, ParseIntPipe, type INestApplication } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Delivery, DeliveryHeaders, RmqConnection, Settlement, Subscribe } from 'nestjs-rmq-keepalive';
import { EMPTY, of } from 'rxjs';
import { publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const shop = { exchange: 'shop' } as const;
const counters = (app: INestApplication) => app.get(RmqConnection).status().counters;

describe('@Subscribe', () => {
  const nest = useNest();

  it('hands a provider the payload, the delivery and the headers that its parameter decorators ask for', async () => {
    const seen: unknown[][] = [];
    @Injectable()
    class Orders {
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      onCreated(
        @Ctx() delivery: Delivery,
        @DeliveryHeaders('x-tenant') tenant: string,
        @Payload() order: object,
        @Payload('quantity', ParseIntPipe) quantity: number,
        @DeliveryHeaders() headers: Record<string, unknown>,
        @DeliveryHeaders('x-absent') absent: unknown,
      ) {
        seen.push([delivery.routingKey, tenant, order, quantity, { ...headers }, absent]);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order.created', { id: 1, quantity: '7' }, { 'x-tenant': 'acme' });
    await until('the handler ran', () => seen.length === 1);
    expect(seen[0]).toEqual(['order.created', 'acme', { id: 1, quantity: '7' }, 7, { 'x-tenant': 'acme' }, undefined]);
    await until('the delivery was acked', () => counters(app).acked === 1);
  });

  it('calls a handler without parameter decorators with the payload and the delivery', async () => {
    const seen: unknown[][] = [];
    class Orders {
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      onCreated(order: object, delivery: Delivery) {
        seen.push([this instanceof Orders, order, delivery instanceof Delivery]);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order.created', { id: 1 });
    await until('the handler ran', () => seen.length === 1);
    expect(seen[0]).toEqual([true, { id: 1 }, true]);
  });

  it('finds handlers on controllers, beside their routes', async () => {
    const seen: unknown[] = [];
    @Controller('orders')
    class Orders {
      @Get()
      list() {
        return seen;
      }
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      onCreated(@Payload() order: object) {
        seen.push(order);
      }
    }
    const app = await nest.boot({ controllers: [Orders] });
    await publish(app, 'order.created', { id: 1 });
    await until('the handler ran', () => seen.length === 1);
    await app.listen(0, '127.0.0.1');
    const answer = await fetch(`${await app.getUrl()}/orders`);
    expect(await answer.json()).toEqual([{ id: 1 }]);
  });

  it('may stand several times on one method, and is inherited', async () => {
    const seen: string[] = [];
    abstract class Base {
      @Subscribe({ ...shop, queue: 'created', routingKey: 'order.created' })
      @Subscribe({ ...shop, queue: 'deleted', routingKey: 'order.deleted' })
      on(_order: object, delivery: Delivery) {
        seen.push(`${delivery.queue} for ${this.constructor.name}`);
      }
    }
    @Injectable()
    class Orders extends Base {}
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order.created', {});
    await publish(app, 'order.deleted', {});
    await until('both arrived', () => seen.length === 2);
    expect(seen.sort()).toEqual(['created for Orders', 'deleted for Orders']);
    expect(app.get(RmqConnection).status().consumers).toMatchObject({ wanted: 2, attached: 2 });
  });

  it('names a subscription Class.method, as the log shows it', async () => {
    class Orders {
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      onCreated() {
        throw new Error('out of stock');
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order.created', {});
    const line = await until('the failure was logged', () =>
      nest.log.find(({ message }) => message.includes('"Orders.onCreated" failed')),
    );
    expect(line).toMatchObject({ level: 'error', context: 'RmqKeepalive' });
    expect(line.message).toContain('out of stock');
  });

  it('moves a delivery whose handler throws or rejects to the dead-letter queue', async () => {
    class Orders {
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      async onCreated() {
        return Promise.reject(new Error('out of stock'));
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order.created', { id: 1 });
    await until('it was moved', () => counters(app).deadLettered === 1);
    const queues = await nest.broker.listQueues(nest.vhost.name);
    expect(queues.find(({ name }) => name === 'orders.dead')).toMatchObject({ messages: 1 });
  });

  it('takes a returned Settlement, and an Observable as its last value', async () => {
    let rounds = 0;
    class Orders {
      @Subscribe({ ...shop, queue: 'requeued', routingKey: 'a' })
      twice() {
        rounds += 1;
        return rounds === 1 ? Settlement.requeue() : undefined;
      }
      @Subscribe({ ...shop, queue: 'rejected', routingKey: 'b' })
      never() {
        return of(1, Settlement.reject());
      }
      @Subscribe({ ...shop, queue: 'empty', routingKey: 'c' })
      nothing() {
        return EMPTY;
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await Promise.all(['a', 'b', 'c'].map((key) => publish(app, key, {})));
    await until('all were settled', () => counters(app).acked === 3);
    expect(counters(app)).toMatchObject({ requeued: 1, deadLettered: 1, delivered: 4 });
    expect(rounds).toBe(2);
  });

  it('consumes what a factory provides, once, even if a class provider made it', async () => {
    const seen: string[] = [];
    class Orders {
      @Subscribe({ ...shop, queue: 'orders', routingKey: 'order.created' })
      onCreated() {
        seen.push('class');
      }
    }
    class Invoices {
      @Subscribe({ ...shop, queue: 'invoices', routingKey: 'order.created' })
      onCreated() {
        seen.push('factory');
      }
    }
    const app = await nest.boot({
      providers: [
        { provide: 'BY_FACTORY', inject: [Orders], useFactory: (orders: Orders) => orders },
        { provide: 'BY_ALIAS', useExisting: Orders },
        { provide: 'INVOICES', useFactory: () => new Invoices() },
        { provide: 'NOTHING', useValue: null },
        { provide: 'BARE', useValue: Object.create(null) },
        Orders,
      ],
    });
    await publish(app, 'order.created', {});
    await until('both arrived', () => seen.length === 2);
    expect(seen.sort()).toEqual(['class', 'factory']);
  });
});
