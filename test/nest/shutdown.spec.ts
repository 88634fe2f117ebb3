/** What a service does with SIGTERM: `app.enableShutdownHooks()`, a real process, real signals. */
import { describe, expect, it } from '@jest/globals';
import { Injectable, type INestApplication } from '@nestjs/common';
import { RmqConnection, Subscribe } from 'nestjs-rmq-keepalive';
import type { NestServiceOptions, Work } from '../support/programs/nest-service.js';
import { NestServiceProcess } from '../support/children/nest-service-process.js';
import { publish, useNest } from '../support/nest-fixture.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** A signal that comes so late is a second wish: later than a second. */
const SECOND_WISH_MS = 1_100;
/** Enough for a process to end that does not wait for anything; the drain would take a minute. */
const PROMPTLY_MS = 5_000;
const CLOSED_LINE = /^(Closed in|Aborted after)/;

describe('when a service gets SIGTERM', () => {
  const faults = useFaults();

  /** A service with these in its hands. */
  async function busyWith(works: readonly Work[], options: Partial<NestServiceOptions> = {}) {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', { durable: true });
    for (const work of works)
      channel.sendToQueue('work', Buffer.from(JSON.stringify(work)), { contentType: 'application/json' });
    const { connection, ...rest } = options;
    const service = NestServiceProcess.launch({
      connection: { urls: faults.vhost.url, drainTimeoutMs: 60_000, ...connection },
      prefetch: 1_000,
      ...rest,
    });
    faults.afterwards(() => service.dispose());
    await service.untilReady();
    await until('all of it is under way', () => service.ids('begun').length === works.length);
    return service;
  }

  async function messagesIn(queue: string): Promise<number | undefined> {
    const queues = await faults.broker.listQueues(faults.vhost.name);
    return queues.find(({ name }) => name === queue)?.messagesReady;
  }

  const endless = (count: number): Work[] => Array.from({ length: count }, (_, i) => ({ id: `endless-${i}` }));

  it('finishes what it can, publishes included, gives back the rest, and says all of it in one line', async () => {
    const quick = Array.from({ length: 20 }, (_, i) => ({
      id: `quick-${i}`,
      workMs: 300,
      isUnderWay: true,
      forward: true,
    }));
    const service = await busyWith([...quick, ...endless(5)], {
      connection: { urls: faults.vhost.url, drainTimeoutMs: 2_000 },
    });
    service.signal('SIGTERM');

    expect(await service.untilEnded()).toEqual({ exitCode: null, signal: 'SIGTERM' });
    expect(service.ids('finished').toSorted()).toEqual(quick.map(({ id }) => id).toSorted());
    expect(service.logged(CLOSED_LINE)).toEqual([
      expect.stringMatching(
        /^Closed in [2-4]\.\d s: 20 handlers finished, 5 deliveries given back, 20 publishes confirmed, 0 abandoned$/,
      ),
    ]);
    expect(await messagesIn('work')).toBe(5);
    expect(await messagesIn('forwarded')).toBe(20);
  });

  it('ends promptly at the second one, and everything it had in hand is in the queue again', async () => {
    const service = await busyWith(endless(50));
    service.signal('SIGTERM');
    await laterThan(SECOND_WISH_MS);
    const toldAt = performance.now();
    service.signal('SIGTERM');

    expect(await service.untilEnded()).toEqual({ exitCode: null, signal: 'SIGTERM' });
    expect(faults.tookMs(toldAt)).toBeLessThan(PROMPTLY_MS);
    expect(service.logged(CLOSED_LINE)).toEqual([
      expect.stringMatching(
        /^Aborted after .* s: 0 handlers finished, 50 deliveries given back, 0 publishes confirmed/,
      ),
    ]);
    await until('all are ready again', async () => (await messagesIn('work')) === 50);
  });

  it('ends promptly at the second one also when the broker does not answer any more', async () => {
    const proxy = await faults.proxy();
    const service = await busyWith(endless(50), { connection: { urls: proxy.url(faults.vhost.url) } });
    proxy.silence();
    service.signal('SIGTERM');
    await laterThan(SECOND_WISH_MS);
    const toldAt = performance.now();
    service.signal('SIGINT');
    expect(await service.untilEnded()).toEqual({ exitCode: null, signal: 'SIGTERM' });
    expect(faults.tookMs(toldAt)).toBeLessThan(PROMPTLY_MS);
  });

  it('takes a Ctrl-C that npm passes on once more for one wish, and finishes its work', async () => {
    const service = await busyWith([{ id: 'slow', workMs: 1_500, isUnderWay: true }]);
    service.signal('SIGINT');
    await laterThan(50);
    service.signal('SIGINT');
    expect(await service.untilEnded()).toEqual({ exitCode: null, signal: 'SIGINT' });
    expect(service.ids('finished')).toEqual(['slow']);
    expect(service.logged(CLOSED_LINE)).toEqual([expect.stringMatching(/^Closed in .* 1 handler finished, 0 del/)]);
  });

  it('control: with abortOnSecondSignal: false it goes on waiting for its handlers', async () => {
    const service = await busyWith([{ id: 'slow', workMs: 2_500, isUnderWay: true }], { abortOnSecondSignal: false });
    service.signal('SIGTERM');
    await laterThan(SECOND_WISH_MS);
    service.signal('SIGTERM');
    await service.untilEnded();
    expect(service.ids('finished')).toEqual(['slow']);
    expect(service.logged(CLOSED_LINE)).toEqual([expect.stringMatching(/^Closed in/)]);
  });
});

describe('when applications in one process are closed by a signal', () => {
  const nest = useNest();
  const listeners = () => ['SIGTERM', 'SIGINT'].map((signal) => process.listenerCount(signal));

  /** An application whose only handler runs until `letGo` is called. */
  async function busyApp(queue = 'orders') {
    let letGo!: () => void;
    let isRunning = false;
    const released = new Promise<void>((resolve) => (letGo = resolve));
    @Injectable()
    class Orders {
      @Subscribe({ queue, exchange: 'shop', routingKey: queue })
      async onOrder() {
        isRunning = true;
        await released;
      }
    }
    const app = await nest.boot({ providers: [Orders] });
    await publish(app, queue, {});
    await until('the handler runs', () => isRunning);
    return { app, connection: app.get(RmqConnection), letGo };
  }

  it('listens to signals only while it drains, and leaves no listener behind', async () => {
    const before = listeners();
    const { app, connection, letGo } = await busyApp();
    expect(listeners()).toEqual(before);
    const closing = closeBy(app, 'SIGTERM');
    await until('it is draining', () => connection.state.name === 'closing');
    expect(listeners()).toEqual(before.map((count) => count + 1));
    letGo();
    await closing;
    expect(listeners()).toEqual(before);
  });

  it('listens to nothing when it was closed without a signal: that is somebody else’s business', async () => {
    const before = listeners();
    const { app, connection, letGo } = await busyApp();
    const closing = app.close();
    await until('it is draining', () => connection.state.name === 'closing');
    expect(listeners()).toEqual(before);
    letGo();
    await closing;
  });

  it('aborts each of two applications, and leaves no listener behind then either', async () => {
    const before = listeners();
    const apps = [await busyApp('orders'), await busyApp('invoices')];
    const reports: boolean[] = [];
    for (const { connection } of apps) connection.on('drained', ({ report }) => reports.push(report.wasAborted));
    const closing = Promise.all(apps.map(({ app }) => closeBy(app, 'SIGTERM')));
    await until('both are draining', () => apps.every(({ connection }) => connection.state.name === 'closing'));
    await laterThan(SECOND_WISH_MS);
    process.emit('SIGTERM', 'SIGTERM');
    await closing;
    expect(reports).toEqual([true, true]);
    expect(listeners()).toEqual(before);
    for (const { letGo } of apps) letGo();
  });
});

/** As Nest does when the signal comes; its types do not tell that `close` takes one. */
function closeBy(app: INestApplication, signal: NodeJS.Signals): Promise<void> {
  return (app.close as (signal: string) => Promise<void>).call(app, signal);
}

/** Signals are told apart by the time between them, so here time itself is what has to pass. */
async function laterThan(ms: number): Promise<void> {
  const from = performance.now();
  await until(`${ms} ms have passed`, () => performance.now() - from > ms);
}
