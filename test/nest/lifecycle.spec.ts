import { describe, expect, it } from '@jest/globals';
import {
  Global,
  Injectable,
  Module,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { RmqConnection, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import { GaveUpError } from 'nestjs-rmq-keepalive/errors';
import { findFreePort } from '#testing/base/free-ports.js';
import { publish, useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

describe('when the application starts', () => {
  const nest = useNest();

  it('consumes nothing before every onModuleInit has run, but publishes', async () => {
    const seen: string[] = [];
    @Injectable()
    class Orders implements OnModuleInit {
      constructor(private readonly publisher: RmqPublisher) {}
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#' })
      onOrder() {
        seen.push('delivered');
      }
      async onModuleInit() {
        await this.publisher.publish('shop', 'order', {});
        seen.push('confirmed');
        // It has been routed, and nobody takes it: a consumer would be there, and the message not.
        await until('it waits in its queue', async () => {
          const [queue] = await nest.broker.listQueues(nest.vhost.name);
          return queue?.messages === 1 && (await nest.broker.listConsumers(nest.vhost.name)).length === 0;
        });
        seen.push('initialised');
      }
    }
    await nest.boot({ providers: [Orders] });
    await until('it was delivered', () => seen.includes('delivered'));
    expect(seen).toEqual(['confirmed', 'initialised', 'delivered']);
  });

  it('is open for the onApplicationBootstrap of every module, with startup: wait', async () => {
    const states: string[] = [];
    @Injectable()
    class Watcher implements OnApplicationBootstrap {
      constructor(private readonly connection: RmqConnection) {}
      onApplicationBootstrap() {
        states.push(this.connection.state.name);
      }
    }
    @Global()
    @Module({ providers: [Watcher] })
    class WatcherModule {}
    @Module({ providers: [Watcher] })
    class DeepModule {}
    await nest.boot({ imports: [WatcherModule, DeepModule], providers: [Watcher] });
    expect(states).toEqual(['open', 'open', 'open']);
  });

  it('boots without a broker, and consumes once there is one', async () => {
    const port = await findFreePort('127.0.0.1');
    const seen: unknown[] = [];
    @Injectable()
    class Orders {
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#' })
      onOrder(order: unknown) {
        seen.push(order);
      }
    }
    let address = `amqp://127.0.0.1:${port}`;
    const app = await nest.bootBare({
      imports: [nest.forRoot({ urls: () => [address], startup: 'background' })],
      providers: [Orders],
    });
    await until('an attempt failed', () => app.get(RmqConnection).state.name === 'backing-off');
    const confirmed = publish(app, 'order', 'early');
    address = nest.vhost.url;
    await confirmed;
    await until('it was delivered', () => seen.length === 1);
    const warning = nest.log.find(({ level }) => level === 'warn');
    expect(warning?.message).toContain('ECONNREFUSED');
  });

  it('fails fast if told to, and closes what it had opened', async () => {
    const port = await findFreePort('127.0.0.1');
    const booting = nest.boot({
      imports: [nest.forRoot({ name: 'gone', urls: `amqp://127.0.0.1:${port}`, startup: 'fail-fast' })],
    });
    await expect(booting).rejects.toThrow(GaveUpError);
    const connections = () => nest.broker.listConnections(nest.vhost.name);
    await until('nothing is connected any more', async () => (await connections()).length === 0);
  });

  it('writes what happens to the log, without passwords', async () => {
    const user = { user: 'clerk', password: 'S3cret-pass' };
    await nest.broker.addUser(user.user, user.password);
    nest.afterwards(() => nest.broker.deleteUser(user.user));
    await nest.broker.setPermissions(user.user, nest.vhost.name);
    const app = await nest.bootBare({
      imports: [nest.forRoot({ urls: nest.broker.urlFor(nest.vhost.name, user), heartbeat: false })],
    });
    await nest.broker.closeAllConnections('maintenance');
    await until('it came back', () => app.get(RmqConnection).status().reconnects > 0);
    const ours = nest.log.filter(({ context }) => context === 'RmqKeepalive');
    const text = ours.map(({ level, message }) => `${level} ${message}`).join('\n');
    expect(text).toMatch(/^warn .*heartbeat/m);
    expect(text).toMatch(/^log .*is open/m);
    expect(text).toMatch(/^warn .*maintenance/m);
    expect(JSON.stringify(nest.log)).not.toContain(user.password);
  });
});

describe('when the application stops', () => {
  const nest = useNest();

  it('lets a running handler finish, publish and be acked', async () => {
    let isRunning = false;
    let letGo = (): void => undefined;
    const go = new Promise<void>((resolve) => (letGo = resolve));
    @Injectable()
    class Orders {
      constructor(private readonly publisher: RmqPublisher) {}
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: 'order' })
      async onOrder() {
        isRunning = true;
        await go;
        await this.publisher.publish('shop', 'shipped', {});
      }
      @Subscribe({ queue: 'shipped', exchange: 'shop', routingKey: 'shipped', connection: 'other' })
      onShipped() {}
    }
    const app = await nest.boot({ imports: [nest.forRoot({ name: 'other' })], providers: [Orders] });
    const connection = app.get(RmqConnection);
    await publish(app, 'order', {});
    await until('the handler runs', () => isRunning);
    const closing = app.close();
    await until('it is closing', () => connection.state.name === 'closing');
    letGo();
    await closing;
    expect(connection.state.name).toBe('closed');
    expect(connection.status().counters).toMatchObject({ delivered: 1, acked: 1, published: 2 });
    const queues = await nest.broker.listQueues(nest.vhost.name);
    expect(queues.find(({ name }) => name === 'orders')).toMatchObject({ messages: 0 });
  });

  it('lets the shutdown hooks of other modules still publish', async () => {
    const outcomes: string[] = [];
    @Injectable()
    class Farewell implements OnModuleDestroy, BeforeApplicationShutdown {
      constructor(private readonly publisher: RmqPublisher) {}
      async onModuleDestroy() {
        await this.publisher.sendToQueue('farewells', 'destroy');
        outcomes.push('destroy');
      }
      async beforeApplicationShutdown() {
        await this.publisher.sendToQueue('farewells', 'shutdown');
        outcomes.push('shutdown');
      }
    }
    @Module({ providers: [Farewell] })
    class InnerModule {}
    @Module({ imports: [InnerModule] })
    class MiddleModule {}
    @Module({ imports: [MiddleModule] })
    class OuterModule {}
    const app = await nest.bootBare({
      imports: [nest.forRoot({ topology: { queues: [{ name: 'farewells' }] } }), OuterModule],
    });
    await app.close();
    expect(outcomes).toEqual(['destroy', 'shutdown']);
  });

  it('leaves no connection at the broker', async () => {
    @Injectable()
    class Orders {
      @Subscribe({ queue: 'orders', exchange: 'shop', routingKey: '#' })
      onOrder() {}
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, 'order', {});
    await app.close();
    const left = await nest.broker.listConnections(nest.vhost.name);
    expect(left).toEqual([]);
  });

  it('can be stopped while it waits for a broker that never comes', async () => {
    const port = await findFreePort('127.0.0.1');
    const app = await nest.bootBare({
      imports: [nest.forRoot({ urls: `amqp://127.0.0.1:${port}`, startup: 'background' })],
    });
    await until('an attempt failed', () => app.get(RmqConnection).state.name === 'backing-off');
    const stoppedAt = performance.now();
    await app.close();
    expect(nest.tookMs(stoppedAt)).toBeLessThan(1_000);
    expect(app.get(RmqConnection).state.name).toBe('closed');
  });
});
