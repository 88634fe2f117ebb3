/** A module of a service under test, as its users write it: its code is not touched. */
import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  defineEvent,
  type Delivery,
  getRmqPublisherToken,
  InjectRmqPublisher,
  RmqKeepaliveModule,
  RmqPublisher,
  Rpc,
  Subscribe,
} from 'nestjs-rmq-keepalive';
import { RmqTestHarness } from 'nestjs-rmq-keepalive/testing';
import { type BackendName, useHarness } from '../support/harness-fixture.js';
import { keepingLogger } from '../support/keeping-logger.js';

interface Order {
  readonly id: string;
}

const orderPlaced = defineEvent<Order>({ exchange: 'shop', routingKey: 'order.placed' });
const orderShipped = defineEvent<Order>({ exchange: 'shop', routingKey: 'order.shipped' });
const orderAudited = defineEvent<Order>({ exchange: 'audit', routingKey: 'order.audited' });
/** Nobody listens there. */
const ELSEWHERE = 'amqp://production.invalid';

@Injectable()
class Shipping {
  constructor(
    private readonly publisher: RmqPublisher,
    @InjectRmqPublisher('audit') private readonly audit: RmqPublisher,
  ) {}

  async ship(order: Order): Promise<void> {
    await this.publisher.publish(orderShipped, order);
    await this.audit.publish(orderAudited, order);
  }
}

@Controller()
class OrdersConsumer {
  constructor(@Inject(Shipping) private readonly shipping: Shipping) {}

  @Subscribe(orderPlaced, { queue: 'orders', retry: { attempts: 3, firstDelayMs: 60_000 } })
  async onPlaced(order: Order, delivery: Delivery): Promise<void> {
    if (order.id === 'late' && delivery.attempt < 3) throw new Error('not in stock yet');
    await this.shipping.ship(order);
  }

  @Rpc({ queue: 'prices' })
  price(order: Order): { cents: number } {
    return { cents: order.id.length * 100 };
  }
}

const audited = { exchanges: [{ name: 'audit', type: 'topic' as const }], queues: [{ name: 'log' }] };
const bindings = [{ exchange: 'audit', queue: 'log', routingKey: '#' }];
const shipped = {
  exchanges: [{ name: 'shop', type: 'topic' as const }],
  queues: [{ name: 'shipped' }],
  bindings: [{ exchange: 'shop', queue: 'shipped', routingKey: 'order.shipped' }],
};

@Module({
  imports: [
    RmqKeepaliveModule.forRoot({
      urls: ELSEWHERE,
      credentials: { username: 'shop', password: 'secret' },
      topology: shipped,
    }),
    RmqKeepaliveModule.forRootAsync({
      name: 'audit',
      useFactory: () => ({ urls: ELSEWHERE, topology: { ...audited, bindings } }),
    }),
  ],
  controllers: [OrdersConsumer],
  providers: [Shipping],
})
class ShopModule {}

let module: TestingModule | undefined;
afterEach(async () => {
  await module?.close();
  module = undefined;
});

describe.each<BackendName>(['memory', 'broker'])('a module under test with the backend "%s"', (backend) => {
  const at = useHarness(backend);
  const boot = async (): Promise<RmqTestHarness> => {
    const builder = Test.createTestingModule({ imports: [ShopModule] });
    module = await at.harness.override(builder, ['default', 'audit']).compile();
    await module.init();
    at.afterwards(() => module?.close());
    return at.harness;
  };

  it('consumes and publishes here, on all its connections', async () => {
    const harness = await boot();
    await harness.outside.publisher.publish(orderPlaced, { id: '1' });
    await harness.settled();
    expect(harness.handled('OrdersConsumer.onPlaced')).toHaveLength(1);
    expect(harness.handled<Order>('orders')).toMatchObject([
      { payload: { id: '1' }, outcome: { returned: undefined }, connection: 'default' },
    ]);
    expect(harness.published(orderShipped)).toMatchObject([{ payload: { id: '1' }, connection: 'default' }]);
    expect(harness.published(orderAudited)).toMatchObject([{ payload: { id: '1' }, connection: 'audit' }]);
  });

  it('answers requests of others', async () => {
    const harness = await boot();
    await expect(harness.outside.rpc.request({ queue: 'prices' }, { id: '123' })).resolves.toEqual({ cents: 300 });
  });

  it('goes on after an accident', async () => {
    const harness = await boot();
    await harness.accident('link-lost');
    await harness.outside.publisher.publish(orderPlaced, { id: '1' });
    await harness.settled();
    expect(harness.published(orderShipped)).toHaveLength(1);
  });
});

describe('with the broker in memory', () => {
  const at = useHarness('memory');

  it('minutes between attempts pass at once', async () => {
    module = await at.harness
      .override(Test.createTestingModule({ imports: [ShopModule] }), ['default', 'audit'])
      .compile();
    await module.init();
    await at.harness.outside.publisher.publish(orderPlaced, { id: 'late' });
    await at.harness.advance(60_000);
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(at.harness.published(orderShipped)).toEqual([]);
    await at.harness.advance(120_000);
    expect(at.harness.handled('orders').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(at.harness.published(orderShipped)).toHaveLength(1);
  });

  it('two harnesses of one process know nothing of each other', async () => {
    const other = await RmqTestHarness.start();
    at.afterwards(() => other.close());
    for (const harness of [at.harness, other]) harness.outside.subscribe({ queue: 'mine' }, () => undefined);
    await at.harness.settled();
    await other.settled();
    await at.harness.outside.publisher.sendToQueue('mine', {});
    await Promise.all([at.harness.settled(), other.settled()]);
    expect(at.harness.outside.status().counters.delivered).toBe(1);
    expect(other.outside.status().counters.delivered).toBe(0);
  });
});

describe('a module whose publisher alone is replaced', () => {
  @Injectable()
  class Emails {
    constructor(private readonly publisher: RmqPublisher) {}

    async send(id: string): Promise<void> {
      await this.publisher.publish(orderShipped, { id });
    }
  }

  it.each([
    ['is not dialled', true, 0],
    // The negative control.
    ['is dialled with its own publisher', false, 1],
  ])('%s', async (_, isReplaced, dials) => {
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const sent: unknown[] = [];
    const fake = { publish: (event: unknown, payload: unknown) => Promise.resolve(void sent.push([event, payload])) };
    const builder = Test.createTestingModule({
      imports: [RmqKeepaliveModule.forRoot({ urls: `amqp://127.0.0.1:${port}`, startup: 'fail-fast' })],
      providers: [Emails],
    });
    if (isReplaced) builder.overrideProvider(getRmqPublisherToken()).useValue(fake);
    module = await builder.setLogger(keepingLogger(() => undefined)).compile();
    const booted = module.init();
    if (isReplaced) {
      await booted;
      await module.get(Emails).send('1');
      expect(sent).toEqual([[orderShipped, { id: '1' }]]);
    } else await expect(booted).rejects.toThrow();
    expect(accepted).toBe(dials);
    server.close();
  });
});
