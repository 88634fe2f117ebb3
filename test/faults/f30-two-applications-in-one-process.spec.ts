import { describe, expect, it } from '@jest/globals';
import { Injectable, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { connect } from 'amqplib';
import { RmqConnection, RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

interface Application {
  readonly module: Type;
  readonly seen: string[];
}

/** The same consumer class, decorated anew for each application: nothing may be remembered on the class. */
function application(url: string, queue: string): Application {
  const seen: string[] = [];
  @Injectable()
  class Consumer {
    @Subscribe({ queue })
    onMessage(@Payload() message: { id: string }): void {
      seen.push(message.id);
    }
  }
  @Module({ imports: [RmqKeepaliveModule.forRoot({ urls: url, startup: 'wait' })], providers: [Consumer] })
  class AppModule {}
  return { module: AppModule, seen };
}

const boot = (module: Type): Promise<INestApplicationContext> =>
  NestFactory.createApplicationContext(module, { logger: false });

/** What keeps this process busy because of connections. */
const openSockets = (): number =>
  process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length;

describe('F30: when two Nest applications run in one process', () => {
  const faults = useFaults();

  it('both consume, each with a connection of its own, and closing one leaves the other alone', async () => {
    const first = application(faults.vhost.url, 'first');
    const second = application(faults.vhost.url, 'second');
    const firstApp = await boot(first.module);
    const secondApp = await boot(second.module);
    faults.afterwards(() => secondApp.close());
    expect(firstApp.get(RmqConnection)).not.toBe(secondApp.get(RmqConnection));

    await firstApp.get(RmqPublisher).sendToQueue('second', { id: 'from-first' });
    await secondApp.get(RmqPublisher).sendToQueue('first', { id: 'from-second' });
    await until('both got their message', () => first.seen.length === 1 && second.seen.length === 1);

    await firstApp.close();
    expect(firstApp.get(RmqConnection).state.name).toBe('closed');
    expect(secondApp.get(RmqConnection).state.name).toBe('open');
    await secondApp.get(RmqPublisher).sendToQueue('second', { id: 'after' });
    await until('the other one goes on', () => second.seen.includes('after'));
    expect((await faults.broker.listConsumers(faults.vhost.name)).map(({ queue }) => queue)).toEqual(['second']);
  });

  it('two applications of one and the same module consume side by side', async () => {
    const { module, seen } = application(faults.vhost.url, 'shared');
    const apps = [await boot(module), await boot(module)];
    for (const app of apps) faults.afterwards(() => app.close());
    await until(
      'the queue has two consumers',
      async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 2,
    );
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (apps[0] as INestApplicationContext).get(RmqPublisher).sendToQueue('shared', { id: `m${i}` }),
      ),
    );
    await until('every message came once', () => seen.length === 10);
    expect(new Set(seen).size).toBe(10);
  });

  it('a module that was closed can be opened again, ten times over, and leaves no socket behind', async () => {
    const { module, seen } = application(faults.vhost.url, 'again');
    const before = openSockets();
    for (let round = 0; round < 10; round++) {
      const app = await boot(module);
      await app.get(RmqPublisher).sendToQueue('again', { id: `round-${round}` });
      await until('the message came', () => seen.includes(`round-${round}`));
      await app.close();
    }
    await until('every socket is gone', () => openSockets() <= before);
    expect(await faults.broker.listConsumers(faults.vhost.name)).toEqual([]);
    expect(await faults.broker.listConnections(faults.vhost.name)).toEqual([]);
  });

  it('control: the leak check sees a connection that nobody closed', async () => {
    const before = openSockets();
    const session = await connect(faults.vhost.url);
    expect(openSockets()).toBe(before + 1);
    expect(await faults.broker.listConnections(faults.vhost.name)).toHaveLength(1);
    await session.close();
  });
});
