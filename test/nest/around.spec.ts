import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { Injectable, Module, Scope } from '@nestjs/common';
import { type ClientProxy, Payload } from '@nestjs/microservices';
import { RmqConnection, RmqKeepaliveModule, RmqPublisher, type RmqAround, Subscribe } from 'nestjs-rmq-keepalive';
import { firstValueFrom } from 'rxjs';
import { RmqClient, RmqServer } from '../../libs/rmq-keepalive/src/integrations/microservices/index.js';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

@Injectable()
class RequestIds {
  readonly storage = new AsyncLocalStorage<string>();
}

/** As a user writes it; it needs the publisher of the very connection that it is around. */
@Injectable()
class RequestIdAround implements RmqAround {
  constructor(
    private readonly ids: RequestIds,
    readonly publisher: RmqPublisher,
  ) {}

  readonly publish: RmqAround['publish'] = (_message, send) =>
    send({ headers: { 'x-request-id': this.ids.storage.getStore() } });

  readonly deliver: RmqAround['deliver'] = (delivery, handle) =>
    this.ids.storage.run(String(delivery.headers['x-request-id']), handle);
}

@Injectable()
class Orders {
  readonly seen: (string | undefined)[] = [];

  constructor(
    private readonly ids: RequestIds,
    private readonly publisher: RmqPublisher,
  ) {}

  @Subscribe({ queue: 'orders', concurrency: 1 })
  async onOrder(@Payload() order: string): Promise<void> {
    this.seen.push(`${order} in ${this.ids.storage.getStore()}`);
    await this.publisher.sendToQueue('bills', order);
  }

  @Subscribe({ queue: 'bills', concurrency: 1 })
  onBill(@Payload() order: string): void {
    this.seen.push(`bill of ${order} in ${this.ids.storage.getStore()}`);
  }
}

@Module({ providers: [RequestIds, RequestIdAround, Orders] })
class ShopModule {}

describe('around of RmqKeepaliveModule', () => {
  const nest = useNest();
  const both = ['a in 1', 'b in 2', 'bill of a in 1', 'bill of b in 2'];

  it.each<[string, () => ReturnType<typeof RmqKeepaliveModule.forRoot>]>([
    ['forRoot', () => RmqKeepaliveModule.forRoot({ urls: nest.vhost.url, startup: 'wait', around: RequestIdAround })],
    [
      'forRootAsync',
      () =>
        RmqKeepaliveModule.forRootAsync({
          useFactory: () => ({
            urls: nest.vhost.url,
            startup: 'wait',
            around: [RequestIdAround, { deliver: (_, handle) => handle() }],
          }),
        }),
    ],
  ])('with %s takes the class of a provider of any module', async (_, forRoot) => {
    const app = await nest.bootBare({ imports: [forRoot(), ShopModule] });
    const { storage } = app.get(RequestIds);
    const publisher = app.get(RmqPublisher);
    await storage.run('1', () => publisher.sendToQueue('orders', 'a'));
    await storage.run('2', () => publisher.sendToQueue('orders', 'b'));
    const { seen } = app.get(Orders);
    await until('both are billed', () => seen.length === 4);
    expect(seen.toSorted((one, other) => String(one).localeCompare(String(other)))).toEqual(both);
    expect(app.get(RequestIdAround).publisher).toBe(publisher);
  });

  it('a class that is no provider, or request-scoped, is refused at boot, by name', async () => {
    class Nowhere implements RmqAround {
      deliver(): void {}
    }
    const booting = nest.bootBare({ imports: [nest.forRoot({ around: Nowhere as never })] });
    await expect(booting).rejects.toThrow(/^around: there is no Nowhere to be had/);

    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends Nowhere {}
    const other = nest.bootBare({ imports: [nest.forRoot({ around: PerRequest as never })], providers: [PerRequest] });
    await expect(other).rejects.toThrow(/^around: there is no PerRequest to be had/);
  });

  it('a class has methods, or fields, and not one of each: what it has is known before there is an instance', async () => {
    @Injectable()
    class Mixed implements RmqAround {
      readonly publish: RmqAround['publish'] = (_message, send) => send();
      deliver(): void {}
    }
    const booting = nest.bootBare({ imports: [nest.forRoot({ around: Mixed as never })], providers: [Mixed] });
    await expect(booting).rejects.toThrow('around, Mixed.publish: it is a field, and the other one is a method');
  });

  it('a publish that comes before the application is initialised waits for the class, and is sent through it', async () => {
    @Injectable()
    class Early {
      readonly sent: Promise<void>;
      constructor(publisher: RmqPublisher) {
        this.sent = publisher.sendToQueue('bills', 'early');
      }
    }
    const around = RequestIdAround;
    const forRoot = RmqKeepaliveModule.forRoot({ urls: nest.vhost.url, startup: 'wait', around });
    const app = await nest.bootBare({ imports: [forRoot, ShopModule], providers: [Early] });
    const { seen } = app.get(Orders);
    // The queue may be younger than the message: then it was returned, and that was told.
    await app.get(Early).sent.catch(() => undefined);
    await app.get(RmqPublisher).sendToQueue('bills', 'late');
    await until('the late one is there', () => seen.includes('bill of late in undefined'));
  });
});

describe('around of the microservice transport', () => {
  const nest = useNest();

  it.each(['a connection of their own', 'the connection of the module'])('works on %s', async (which) => {
    const seen: string[] = [];
    const around: RmqAround = {
      publish: (message, send) => {
        seen.push(`out ${message.kind}`);
        return send();
      },
      deliver: (delivery, handle) => {
        seen.push(`in ${delivery.queue}`);
        return handle();
      },
    };
    const isOwn = which.includes('own');
    const choice = isOwn ? { urls: nest.vhost.url, connectionOptions: { around } } : {};
    const app = await nest.bootBare({ imports: [nest.forRoot(isOwn ? {} : { around })] });
    const at = isOwn ? choice : { connection: app.get(RmqConnection) };
    const server = new RmqServer({ ...at, queue: 'sums', ack: 'auto' });
    server.addHandler('add', (([a, b]: [number, number]) => Promise.resolve(a + b)) as never);
    await new Promise<void>((resolve, reject) => {
      void server.listen((error?: unknown) => (error === undefined ? resolve() : reject(error as Error)));
    });
    nest.afterwards(() => server.close());
    const client: ClientProxy = new RmqClient({ ...at, queue: 'sums' });
    nest.afterwards(() => client.close());
    expect(await firstValueFrom(client.send('add', [1, 2]))).toBe(3);
    expect(seen).toEqual(['out request', 'in sums', 'out reply']);
  });
});
