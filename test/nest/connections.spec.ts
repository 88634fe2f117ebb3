import { describe, expect, it } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import {
  getRmqConnectionToken,
  getRmqPublisherToken,
  InjectRmqConnection,
  InjectRmqPublisher,
  RmqConnection,
  RmqKeepaliveModule,
  RmqPublisher,
  Subscribe,
  type RmqConnectionOptions,
} from 'nestjs-rmq-keepalive';
import { type NestFixture, publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const namesAtTheBroker = async (nest: NestFixture, vhost = nest.vhost.name) =>
  (await nest.broker.listConnections(vhost)).map((c) => c.userProvidedName);

describe('RmqKeepaliveModule', () => {
  const nest = useNest();

  it('lets every module inject connection and publisher by class, without importing it', async () => {
    @Injectable()
    class Shop {
      constructor(
        readonly connection: RmqConnection,
        readonly publisher: RmqPublisher,
        @InjectRmqConnection() readonly sameConnection: RmqConnection,
        @InjectRmqPublisher() readonly samePublisher: RmqPublisher,
      ) {}
    }
    @Module({ providers: [Shop] })
    class ShopModule {}
    const app = await nest.boot({ imports: [ShopModule] });
    const { connection, publisher, sameConnection, samePublisher } = app.get(Shop);
    expect(connection).toBeInstanceOf(RmqConnection);
    expect(sameConnection).toBe(connection);
    expect(publisher).toBe(connection.publisher);
    expect(samePublisher).toBe(publisher);
  });

  it('keeps to the importing module with isGlobal: false', async () => {
    @Injectable()
    class Shop {
      constructor(readonly publisher: RmqPublisher) {}
    }
    @Module({ providers: [Shop] })
    class ShopModule {}
    const booting = nest.bootBare({ imports: [nest.forRoot({ isGlobal: false }), ShopModule] });
    await expect(booting).rejects.toThrow(/RmqPublisher/);

    @Module({ imports: [nest.forRoot({ isGlobal: false })], providers: [Shop] })
    class OwnModule {}
    const app = await nest.bootBare({ imports: [OwnModule] });
    expect(app.get(Shop).publisher).toBeInstanceOf(RmqPublisher);
  });

  it('keeps named connections apart, with handlers on each', async () => {
    const other = await nest.broker.createVhost();
    nest.afterwards(() => other.delete());
    const seen: string[] = [];
    @Injectable()
    class Orders {
      constructor(
        @InjectRmqPublisher('audit') readonly audit: RmqPublisher,
        @InjectRmqConnection('audit') readonly auditConnection: RmqConnection,
      ) {}
      @Subscribe({ queue: 'orders' })
      onOrder(order: string) {
        seen.push(`order ${order}`);
      }
      @Subscribe({ queue: 'audit', connection: 'audit' })
      onAudit(event: string) {
        seen.push(`audit ${event}`);
      }
    }
    const app = await nest.boot({ imports: [nest.forRoot({ name: 'audit', urls: other.url })], providers: [Orders] });
    expect(app.get(Orders).auditConnection.name).toBe('audit');
    expect(app.get(getRmqConnectionToken('audit'))).toBe(app.get(Orders).auditConnection);
    expect(app.get(getRmqPublisherToken('audit'))).toBe(app.get(Orders).audit);
    await app.get(RmqPublisher).sendToQueue('orders', 'a');
    await app.get(Orders).audit.sendToQueue('audit', 'b');
    await until('both arrived', () => seen.length === 2);
    expect(seen.sort()).toEqual(['audit b', 'order a']);
    expect((await nest.broker.listConsumers(other.name)).map((consumer) => consumer.queue)).toEqual(['audit']);
    expect(nest.log.some(({ context }) => context === 'RmqKeepalive:audit')).toBe(true);
    expect(nest.log.some(({ context }) => context === 'RmqKeepalive')).toBe(true);
  });

  it('takes its options from a factory, or from a class, name and isGlobal beside it', async () => {
    @Injectable()
    class Settings {
      readonly urls = nest.vhost.url;
    }
    @Module({ providers: [Settings], exports: [Settings] })
    class SettingsModule {}
    const app = await nest.bootBare({
      imports: [
        RmqKeepaliveModule.forRootAsync({
          name: 'by-factory',
          imports: [SettingsModule],
          inject: [Settings],
          useFactory: async (settings: Settings): Promise<RmqConnectionOptions> => ({
            urls: settings.urls,
            startup: 'wait',
          }),
        }),
        RmqKeepaliveModule.forRootAsync({
          imports: [SettingsModule],
          useClass: class {
            createRmqOptions(): RmqConnectionOptions {
              return { urls: [nest.vhost.url], startup: 'wait' };
            }
          },
        }),
      ],
    });
    expect(app.get<RmqConnection>(getRmqConnectionToken('by-factory')).state.name).toBe('open');
    expect(app.get(RmqConnection).state.name).toBe('open');
  });

  it('declares the topology of feature modules', async () => {
    @Module({
      imports: [
        RmqKeepaliveModule.forFeature({
          exchanges: [{ name: 'billing', type: 'direct' }],
          queues: [{ name: 'invoices' }],
          bindings: [{ exchange: 'billing', queue: 'invoices', routingKey: 'paid' }],
        }),
        RmqKeepaliveModule.forFeature({ queues: [{ name: 'reminders' }] }, 'default'),
      ],
    })
    class BillingModule {}
    const app = await nest.boot({ imports: [BillingModule] });
    await app.get(RmqPublisher).publish('billing', 'paid', {});
    const queues = await nest.broker.listQueues(nest.vhost.name);
    expect(queues.map(({ name }) => name).sort()).toEqual(['invoices', 'reminders']);
  });

  it('declares what is added to a connection that is open', async () => {
    const app = await nest.boot({});
    app.get(RmqConnection).addTopology({ queues: [{ name: 'late' }] });
    await until('the queue exists', async () =>
      (await nest.broker.listQueues(nest.vhost.name)).some(({ name }) => name === 'late'),
    );
  });

  it('lets two applications in one process share nothing', async () => {
    const seen: string[] = [];
    const makeOrders = (name: string) => {
      @Injectable()
      class Orders {
        @Subscribe({ queue: `orders-${name}` })
        onOrder() {
          seen.push(name);
        }
      }
      return Orders;
    };
    const one = await nest.boot({ providers: [makeOrders('one')] });
    const two = await nest.boot({ providers: [makeOrders('two')] });
    expect(one.get(RmqConnection)).not.toBe(two.get(RmqConnection));
    await one.close();
    await two.get(RmqPublisher).sendToQueue('orders-two', {});
    await until('the second one consumes', () => seen.length === 1);
    expect(seen).toEqual(['two']);
    expect(await namesAtTheBroker(nest)).toHaveLength(2);
  });

  it('lets the same class be a handler of two applications', async () => {
    const seen: string[] = [];
    @Injectable()
    class Orders {
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#' })
      onOrder(order: string) {
        seen.push(order);
      }
    }
    const one = await nest.boot({ providers: [Orders] });
    const two = await nest.boot({ providers: [Orders] });
    for (const order of ['a', 'b', 'c', 'd']) await publish(one, 'order', order);
    await until('all arrived', () => seen.length === 4);
    expect(await nest.broker.listConsumers(nest.vhost.name)).toHaveLength(2);
    expect(two.get(RmqConnection).status().counters.delivered).toBe(2);
  });

  it('registers handlers on what a test put in place of the connection', async () => {
    const subscribed: unknown[] = [];
    const fake = {
      name: 'default',
      warnings: [],
      publisher: {},
      on: () => () => undefined,
      subscribe: (options: { name: string }) => subscribed.push(options.name),
      start: async () => undefined,
      close: async () => undefined,
    };
    class Orders {
      @Subscribe({ queue: 'orders' })
      onOrder() {}
    }
    await nest.boot(
      { providers: [Orders] },
      { override: (builder) => builder.overrideProvider(RmqConnection).useValue(fake) },
    );
    expect(subscribed).toEqual(['Orders.onOrder']);
    expect(await namesAtTheBroker(nest)).toEqual([]);
  });
});
