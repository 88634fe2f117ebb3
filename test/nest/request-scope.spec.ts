import { describe, expect, it } from '@jest/globals';
import {
  Controller,
  Inject,
  Injectable,
  Scope,
  UseGuards,
  type CanActivate,
  type INestApplication,
} from '@nestjs/common';
import {
  ContextIdFactory,
  REQUEST,
  type ContextId,
  type ContextIdStrategy,
  type HostComponentInfo,
} from '@nestjs/core';
import { Delivery, RmqConnection, Subscribe } from 'nestjs-rmq-keepalive';
import { publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

const onShop = (queue: string) => ({ queue, exchange: 'shop', routingKey: '#' });
const untilAcked = (app: INestApplication, count: number) =>
  until(`${count} deliveries were acked`, () => app.get(RmqConnection).status().counters.acked === count);

describe('a request-scoped handler', () => {
  const nest = useNest();

  it.each(['provider', 'controller'])(
    'is made anew for every delivery, which is its REQUEST, as a %s',
    async (kind) => {
      let made = 0;
      const seen: string[] = [];
      @Injectable({ scope: Scope.REQUEST })
      class Tenant {
        readonly name: unknown;
        constructor(@Inject(REQUEST) delivery: Delivery) {
          this.name = delivery.headers['x-tenant'];
        }
      }
      @Controller({ scope: Scope.REQUEST })
      class Orders {
        private readonly id = ++made;
        constructor(
          private readonly tenant: Tenant,
          @Inject(REQUEST) private readonly request: Delivery,
        ) {}
        @Subscribe(onShop('orders'))
        onOrder(_order: unknown, delivery: Delivery) {
          seen.push(`${this.id} ${String(this.tenant.name)} ${this.request === delivery}`);
        }
      }
      const app = await nest.boot({
        providers: kind === 'provider' ? [Tenant, Orders] : [Tenant],
        controllers: kind === 'controller' ? [Orders] : [],
      });
      expect(made).toBe(0);
      await publish(app, 'order', {}, { 'x-tenant': 'acme' });
      await publish(app, 'order', {}, { 'x-tenant': 'umbrella' });
      await untilAcked(app, 2);
      expect(seen.sort()).toEqual(['1 acme true', '2 umbrella true']);
    },
  );

  it('is any handler that depends on something request-scoped, a guard included', async () => {
    const seen: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class TenantGuard implements CanActivate {
      constructor(@Inject(REQUEST) private readonly delivery: Delivery) {}
      canActivate(): boolean {
        seen.push(`guard of ${String(this.delivery.headers['x-tenant'])}`);
        return true;
      }
    }
    @UseGuards(TenantGuard)
    @Injectable()
    class Orders {
      @Subscribe(onShop('orders'))
      onOrder() {
        seen.push('handler');
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order', {}, { 'x-tenant': 'acme' });
    await untilAcked(app, 1);
    expect(seen).toEqual(['guard of acme', 'handler']);
  });

  it('is constructed for every delivery when it is transient', async () => {
    let made = 0;
    const seen: number[] = [];
    @Injectable({ scope: Scope.TRANSIENT })
    class Orders {
      private readonly id = ++made;
      @Subscribe(onShop('orders'))
      onOrder() {
        seen.push(this.id);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order', {});
    await publish(app, 'order', {});
    await untilAcked(app, 2);
    expect(new Set(seen).size).toBe(2);
  });

  it('found under a token of its own is constructed too', async () => {
    const seen: string[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Orders {
      constructor(@Inject(REQUEST) private readonly delivery: Delivery) {}
      @Subscribe(onShop('orders'))
      onOrder() {
        seen.push(this.delivery.routingKey);
      }
    }
    const app = await nest.boot({ providers: [{ provide: 'ORDERS', useClass: Orders }] });
    await publish(app, 'order', {});
    await untilAcked(app, 1);
    expect(seen).toEqual(['order']);
  });

  it('whose constructor throws dead-letters the delivery', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Orders {
      constructor() {
        throw new Error('no tenant');
      }
      @Subscribe(onShop('orders'))
      onOrder() {}
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order', {});
    await until('it was moved', () => app.get(RmqConnection).status().counters.deadLettered === 1);
  });

  it('that is durable is shared by the deliveries of one tenant', async () => {
    const tenants = new Map<unknown, ContextId>();
    const strategy: ContextIdStrategy<Delivery> = {
      attach(contextId, delivery) {
        const tenant = delivery.headers['x-tenant'];
        const parent = tenants.get(tenant) ?? ContextIdFactory.create();
        tenants.set(tenant, parent);
        return {
          resolve: (info: HostComponentInfo) => (info.isTreeDurable ? parent : contextId),
          payload: { tenant },
        };
      },
    };
    ContextIdFactory.apply(strategy);
    nest.afterwards(() => ContextIdFactory.apply(undefined as never));
    let made = 0;
    const seen: string[] = [];
    @Injectable({ scope: Scope.REQUEST, durable: true })
    class Orders {
      private readonly id = ++made;
      constructor(@Inject(REQUEST) private readonly request: { tenant: string }) {}
      @Subscribe({ ...onShop('orders'), prefetch: 1 })
      onOrder() {
        seen.push(`${this.id} ${this.request.tenant}`);
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    for (const tenant of ['acme', 'acme', 'umbrella']) await publish(app, 'order', {}, { 'x-tenant': tenant });
    await untilAcked(app, 3);
    expect(seen).toEqual(['1 acme', '1 acme', '2 umbrella']);
  });
});
