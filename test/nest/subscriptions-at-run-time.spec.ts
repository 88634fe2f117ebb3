import { describe, expect, it } from '@jest/globals';
import { createParamDecorator, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import {
  InjectRmqConnection,
  RmqConnection,
  RmqPublisher,
  Subscribe,
  type Delivery,
  type Subscription,
} from 'nestjs-rmq-keepalive';
import { until } from '../support/until.js';
import { useNest } from '../support/nest-fixture.js';

describe('subscriptions at run time', () => {
  const nest = useNest();

  it('come and go through the injected connection, and are restored like the others', async () => {
    const seen: string[] = [];
    /** One queue for each tenant, as tenants come and go: the example of docs/guides/consuming.md. */
    @Injectable()
    class TenantConsumers implements OnModuleDestroy {
      private readonly subscriptions = new Map<string, Subscription>();
      constructor(@InjectRmqConnection() private readonly connection: RmqConnection) {}

      add(tenant: string): void {
        const subscription = this.connection.subscribe<{ id: number }>({ queue: `orders.${tenant}` }, ({ id }) =>
          this.onOrder(tenant, id),
        );
        this.subscriptions.set(tenant, subscription);
      }

      async remove(tenant: string): Promise<void> {
        await this.subscriptions.get(tenant)?.unsubscribe();
        this.subscriptions.delete(tenant);
      }

      async onModuleDestroy(): Promise<void> {
        await Promise.all([...this.subscriptions.keys()].map((tenant) => this.remove(tenant)));
      }

      private async onOrder(tenant: string, id: number): Promise<void> {
        seen.push(`${tenant} ${id}`);
      }
    }
    const app = await nest.boot({ providers: [TenantConsumers] });
    const tenants = app.get(TenantConsumers);
    const connection = app.get(RmqConnection);
    tenants.add('acme');
    tenants.add('globex');
    await until('both are attached', () => connection.status().consumers.attached === 2);
    await nest.broker.closeAllConnections('maintenance');
    await until('both are back', () => connection.status().reconnects > 0 && connection.state.name === 'open');
    await app.get(RmqPublisher).sendToQueue('orders.acme', { id: 1 });
    await until('it came', () => seen.includes('acme 1'));
    await tenants.remove('acme');
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1 });
    expect(connection.subscription('orders.acme')).toBeUndefined();
  });

  it('those of @Subscribe are paused and resumed by name', async () => {
    const seen: unknown[] = [];
    class Orders {
      @Subscribe({ queue: 'orders' })
      onOrder(order: unknown) {
        seen.push(order);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    const subscription = app.get(RmqConnection).subscription('Orders.onOrder')!;
    await subscription.pause();
    await app.get(RmqPublisher).sendToQueue('orders', 1);
    await subscription.resume();
    await until('it came', () => seen.length === 1);
  });

  it('a handler without enhancers gets what its decorators promise, also asynchronously, in order by key', async () => {
    const Later = createParamDecorator((data: string) => Promise.resolve(data));
    const seen: unknown[] = [];
    class Orders {
      @Subscribe<{ id: number }>({ queue: 'orders', orderedBy: ({ id }) => id, concurrency: 2 })
      async onOrder(@Later('soon') soon: string, @Payload('id') id: number, ...rest: unknown[]) {
        seen.push([soon, id, rest, this instanceof Orders]);
      }
      @Subscribe({ queue: 'bare' })
      onBare(payload: unknown, delivery: Delivery) {
        seen.push([payload, delivery.queue]);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await app.get(RmqPublisher).sendToQueue('orders', { id: 7 });
    await app.get(RmqPublisher).sendToQueue('bare', 8);
    await until('both came', () => seen.length === 2);
    expect(seen).toEqual(
      expect.arrayContaining([
        ['soon', 7, [], true],
        [8, 'bare'],
      ]),
    );
  });
});
