import { describe, expect, it } from '@jest/globals';
import { Injectable, Module, type ModuleMetadata } from '@nestjs/common';
import {
  InjectRmqPublisher,
  OptionsError,
  RmqConnection,
  RmqKeepaliveModule,
  Subscribe,
  SubscribeBatch,
} from 'nestjs-rmq-keepalive';
import { publish, useNest, type NestFixture } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

async function refusal(booting: Promise<unknown>): Promise<OptionsError> {
  const error: unknown = await booting.then(
    () => 'it booted',
    (thrown: unknown) => thrown,
  );
  if (error instanceof OptionsError) return error;
  throw new Error('was not refused with an OptionsError', { cause: error });
}

const refused = (nest: NestFixture, metadata: ModuleMetadata) => refusal(nest.boot(metadata));

describe('an application does not boot', () => {
  const nest = useNest();

  it('with a handler on a connection that nobody configured', async () => {
    class Audit {
      @Subscribe({ queue: 'audit', connection: 'audit' })
      onEvent() {}
    }
    const error = await refused(nest, { providers: [Audit] });
    expect(error.message).toBe(
      '@Subscribe on Audit.onEvent: there is no connection "audit" (configured: "default"). ' +
        'Import RmqKeepaliveModule.forRoot({ name: "audit", urls: ... }), or name one that is configured with connection: "default"',
    );
  });

  it('with a topology for a connection that nobody configured', async () => {
    const error = await refusal(
      nest.bootBare({ imports: [RmqKeepaliveModule.forFeature({ queues: [{ name: 'q' }] })] }),
    );
    expect(error.message).toBe(
      'RmqKeepaliveModule.forFeature: there is no default connection (none is configured). Import RmqKeepaliveModule.forRoot({ urls: ... })',
    );
  });

  it('with two connections of one name', async () => {
    const error = await refused(nest, { imports: [nest.forRoot()] });
    expect(error.message).toContain('two connections were configured without a name');
    expect(error.message).toContain('forRoot({ name: ... })');
    const named = await refusal(nest.bootBare({ imports: [nest.forRoot({ name: 'a' }), nest.forRoot({ name: 'a' })] }));
    expect(named.message).toContain('two connections were configured with the name "a"');
  });

  it('with two handlers that would share the messages of one queue', async () => {
    class Orders {
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order.created' })
      onCreated() {}
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order.deleted' })
      onDeleted() {}
    }
    const error = await refused(nest, { providers: [Orders] });
    expect(error.message).toContain(
      'Orders.onCreated and Orders.onDeleted consume from queue "orders" on connection "default"',
    );
    expect(error.message).toContain('whatever its routing key');
    expect(error.message).toContain('competing: true on each');
  });

  it('with one of two handlers of a queue saying that it competes', async () => {
    class Orders {
      @Subscribe({ queue: 'orders', competing: true })
      one() {}
      @Subscribe({ queue: 'orders' })
      two() {}
    }
    expect((await refused(nest, { providers: [Orders] })).message).toContain('Orders.one and Orders.two');
  });

  it('with a handler class that two modules provide', async () => {
    class Orders {
      @Subscribe({ queue: 'orders' })
      onOrder() {}
    }
    @Module({ providers: [Orders] })
    class OneModule {}
    @Module({ providers: [Orders] })
    class OtherModule {}
    const error = await refused(nest, { imports: [OneModule, OtherModule] });
    expect(error.message).toContain('Orders has 2 instances (in OneModule and OtherModule)');
    expect(error.message).toContain('Provide Orders in one module and export it');
  });

  it('with two subscriptions of one name', async () => {
    class Orders {
      @Subscribe({ queue: 'a', name: 'same' })
      one() {}
      @Subscribe({ queue: 'b', name: 'same' })
      two() {}
    }
    const error = await refused(nest, { providers: [Orders] });
    expect(error.message).toContain('"same"');
    expect(error.message).toContain('Orders.two');
  });

  it('with a subscription option that cannot work, naming the handler', async () => {
    class Orders {
      @Subscribe({ queue: 'orders', prefetch: 0 })
      onOrder() {}
    }
    const error = await refused(nest, { providers: [Orders] });
    expect(error.message).toContain('Orders.onOrder');
    expect(error.message).toContain('prefetch');
  });

  it('with a subscription option that cannot work on a subscription with a name of its own, naming the handler too', async () => {
    class Orders {
      @Subscribe({ queue: 'orders', name: 'mine', deadLetter: 'orders' })
      onOrder() {}
    }
    const error = await refused(nest, { providers: [Orders] });
    expect(error.message).toContain('@Subscribe on Orders.onOrder');
    expect(error.message).toContain('"mine"');
  });

  it('with a connection option that cannot work, before anything is dialled', async () => {
    const error = await refusal(nest.bootBare({ imports: [nest.forRoot({ heartbeat: { timeoutSeconds: -1 } })] }));
    expect(error.option).toBe('heartbeat.timeoutSeconds');
    const misplaced = await refusal(
      nest.bootBare({
        imports: [RmqKeepaliveModule.forRootAsync({ useFactory: () => ({ urls: nest.vhost.url, nam: 'x' }) })],
      }),
    );
    expect(misplaced.message).toContain('"nam"');
  });

  it.each<[string, () => unknown, string]>([
    [
      'an option of Nest',
      () => RmqKeepaliveModule.forRoot({ urls: 'amqp://x', isglobal: true } as never),
      '"isGlobal"',
    ],
    [
      'an option of forRootAsync',
      () => RmqKeepaliveModule.forRootAsync({ usefactory: () => ({}) } as never),
      '"useFactory"',
    ],
    ['an option of a publisher', () => InjectRmqPublisher({ confirms: false } as never), '"confirm"'],
  ])('with %s mistyped, and suggests what was meant', (_, write, meant) => {
    expect(write).toThrow(OptionsError);
    expect(write).toThrow(`Did you mean ${meant}?`);
  });

  it.each<[object, string]>([
    [{ abortOnSecondSignal: 'false' }, 'forRoot, abortOnSecondSignal: "false" is neither true nor false'],
    [{ isGlobal: 1 }, 'forRoot, isGlobal: 1 is neither'],
    [{ name: '' }, 'forRoot, name: "" is no name'],
  ])('with %j beside its options', (extras, problem) => {
    expect(() => RmqKeepaliveModule.forRoot({ urls: 'amqp://x', ...extras } as never)).toThrow(problem);
  });

  it('with an option of @Subscribe mistyped, and suggests also those that are not of the queue', async () => {
    class Orders {
      @Subscribe({ queue: 'orders', conection: 'audit' } as never)
      onOrder() {}
    }
    const error = await refused(nest, { providers: [Orders] });
    expect(error.message).toMatch(/^@Subscribe on Orders\.onOrder: .*Did you mean "connection"\?/);
  });

  it('with @SubscribeBatch without a batch, or @Subscribe with one', async () => {
    class Views {
      @SubscribeBatch({ queue: 'views' } as never)
      onViews() {}
    }
    class Orders {
      @Subscribe({ queue: 'orders', batch: { size: 2 } } as never)
      onOrders() {}
    }
    expect((await refused(nest, { providers: [Views] })).message).toBe(
      '@SubscribeBatch on Views.onViews: it has no batch. Give batch: { size: 100 }, or use @Subscribe',
    );
    expect((await refused(nest, { providers: [Orders] })).message).toContain('Use @SubscribeBatch, or drop batch');
  });
});

describe('an application boots', () => {
  const nest = useNest();

  it('with handlers that compete on purpose, each message going to one of them', async () => {
    const seen: string[] = [];
    @Injectable()
    class Orders {
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#', competing: true })
      one() {
        seen.push('one');
      }
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#', competing: true })
      two() {
        seen.push('two');
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    for (let i = 0; i < 6; i++) await publish(app, 'order', {});
    await until('all were acked', () => app.get(RmqConnection).status().counters.acked === 6);
    expect(seen).toHaveLength(6);
    expect(new Set(seen)).toEqual(new Set(['one', 'two']));
  });

  it('with two instances of one handler class that compete on purpose', async () => {
    @Injectable()
    class Orders {
      @Subscribe({ queue: 'orders', competing: true })
      onOrder() {}
    }
    @Module({ providers: [Orders] })
    class OneModule {}
    @Module({ providers: [Orders] })
    class OtherModule {}
    await nest.boot({ imports: [OneModule, OtherModule] });
    expect(await nest.broker.listConsumers(nest.vhost.name)).toHaveLength(2);
  });

  it('with two handler classes of one name, named apart by their queues', async () => {
    const makeOrders = (queue: string) => {
      @Injectable()
      class Orders {
        @Subscribe({ queue, ifQueueMissing: 'wait' })
        onOrder() {}
      }
      return Orders;
    };
    const app = await nest.boot({ providers: [makeOrders('a'), makeOrders('b')] });
    const { missing } = app.get(RmqConnection).status().consumers;
    expect(missing.map(({ name }) => name)).toEqual(['Orders.onOrder(a)', 'Orders.onOrder(b)']);
  });

  it('with several handlers on server-named queues, each message going to all of them', async () => {
    const seen: string[] = [];
    @Injectable()
    class Caches {
      @Subscribe({ queue: '', exchange: 'shop', routingKey: '#' })
      one() {
        seen.push('one');
      }
      @Subscribe({ queue: '', exchange: 'shop', routingKey: '#' })
      two() {
        seen.push('two');
      }
    }
    const app = await nest.boot({ providers: [Caches] });
    await publish(app, 'order', {});
    await until('both got it', () => seen.length === 2);
    expect(seen.sort()).toEqual(['one', 'two']);
  });

  it('with handlers of the same queue name on two connections', async () => {
    class Orders {
      @Subscribe({ queue: 'orders' })
      one() {}
      @Subscribe({ queue: 'orders', connection: 'other' })
      two() {}
    }
    const other = await nest.broker.createVhost();
    nest.afterwards(() => other.delete());
    await nest.boot({ imports: [nest.forRoot({ name: 'other', urls: other.url })], providers: [Orders] });
    expect(await nest.broker.listConsumers(other.name)).toHaveLength(1);
  });
});
