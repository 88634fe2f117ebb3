/** close() and abort() by the one who waits for them, in the middle of what they do. */
import { describe, expect, it } from '@jest/globals';
import type { DrainReport } from '#engine/reporting/events.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const LONG_MS = 60_000;
/** An abort waits for nothing but the broker's last answers, two times a quarter of a second. */
const AT_ONCE_MS = 1_000;

describe('when whoever closes a connection does not want to wait any longer', () => {
  const faults = useFaults();

  /** Consumes 10 messages with handlers that never end, and has the publishing link up. */
  async function busy(url = faults.vhost.url): Promise<RmqConnection> {
    const connection = faults.connect({ urls: url, drainTimeoutMs: LONG_MS });
    let running = 0;
    connection.subscribe({ queue: 'work', prefetch: 100 }, () => {
      running += 1;
      return new Promise<void>(() => undefined);
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await Promise.all(Array.from({ length: 10 }, (_, i) => connection.publisher.sendToQueue('work', { i })));
    await until('10 handlers run', () => running === 10);
    return connection;
  }

  async function timed(closing: Promise<DrainReport>): Promise<DrainReport & { waitedMs: number }> {
    const from = performance.now();
    const report = await closing;
    return { ...report, waitedMs: faults.tookMs(from) };
  }

  it('hands back what runs, in words and not by hanging up, and leaves nothing at the broker', async () => {
    const proxy = await faults.proxy();
    const connection = await busy(proxy.url(faults.vhost.url));
    const closing = connection.close();
    expect(connection.state.name).toBe('closing');
    const { waitedMs, ...report } = await timed(connection.abort());

    expect(waitedMs).toBeLessThan(AT_ONCE_MS);
    expect(report).toMatchObject({ handlersFinished: 0, deliveriesReturned: 10, wasAborted: true });
    expect(await closing).toEqual(report);
    expect(proxy.recorder.frames({ direction: 'to-broker', method: 'basic.nack' })).toHaveLength(10);
    expect(proxy.recorder.frames({ direction: 'to-client', method: 'connection.close-ok' })).toHaveLength(2);
    const [work] = await faults.broker.listQueues(faults.vhost.name);
    expect(work).toMatchObject({ messagesReady: 10, messagesUnacknowledged: 0 });
    expect(await faults.broker.listConnections(faults.vhost.name)).toEqual([]);
  });

  it('rejects what is not confirmed, and destroys its sockets, when the broker is silent', async () => {
    const proxy = await faults.proxy();
    const connection = await busy(proxy.url(faults.vhost.url));
    proxy.silence();
    const publishing = expect(connection.publisher.sendToQueue('work', {})).rejects.toMatchObject({
      code: 'RMQ_CLOSED',
    });
    void connection.close();
    const report = await timed(connection.abort());
    await publishing;
    expect(report.waitedMs).toBeLessThan(AT_ONCE_MS);
    expect(report).toMatchObject({ publishesAbandoned: 1, wasAborted: true });
    await until('the sockets are gone', () => proxy.links.length === 0);
  });

  it('ends the orderly end too: a broker that does not answer the last words is not waited for', async () => {
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url), drainTimeoutMs: LONG_MS });
    connection.subscribe({ queue: 'work' }, () => undefined);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const asked = proxy.onceFrame(
      ({ method, direction }) => method === 'basic.cancel-ok' && direction === 'to-client',
      () => proxy.silence(),
    );
    void connection.close();
    await asked;
    const report = await timed(connection.abort());
    expect(report.waitedMs).toBeLessThan(AT_ONCE_MS);
  });

  it('shortens a drain by closing again with less time, and never prolongs it', async () => {
    const connection = await busy();
    const closing = connection.close();
    void connection.close({ drainTimeoutMs: 200 });
    void connection.close({ drainTimeoutMs: LONG_MS });
    void connection.close();
    const report = await timed(closing);
    expect(report.waitedMs).toBeLessThan(200 + AT_ONCE_MS);
    expect(report).toMatchObject({ deliveriesReturned: 10, wasAborted: false });
    await expect(async () => connection.close({ drainTimeoutMs: -1 })).rejects.toMatchObject({
      code: 'RMQ_OPTIONS_INVALID',
    });
  });

  it('can be aborted before the start, without closing first, and when it is over', async () => {
    const unborn = faults.connect();
    expect(await unborn.abort()).toMatchObject({ wasAborted: true });
    await expect(unborn.start()).rejects.toMatchObject({ code: 'RMQ_CLOSED' });

    const connection = await busy();
    const report = await connection.abort();
    expect(report).toMatchObject({ deliveriesReturned: 10, wasAborted: true });
    expect(await connection.abort()).toBe(report);
    expect(await connection.close()).toBe(report);
  });

  it('counts as confirmed what was confirmed while it drained, and not what failed meanwhile', async () => {
    const connection = await busy();
    const { publisher } = connection;
    const outcomes = Promise.allSettled([
      publisher.sendToQueue('work', {}),
      publisher.sendToQueue('no-such-queue', {}),
    ]);
    const closing = connection.close();
    expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    void connection.close({ drainTimeoutMs: 0 });
    expect(await closing).toMatchObject({ publishesFlushed: 1, publishesAbandoned: 0 });
  });

  it('lets a handler publish while it drains, though nobody has published before', async () => {
    const { publisher } = await busy();
    const connection = faults.connect();
    let isRunning = false;
    let letGo!: () => void;
    const go = new Promise<void>((resolve) => (letGo = resolve));
    connection.subscribe({ queue: 'first' }, async () => {
      isRunning = true;
      await go;
      await connection.publisher.sendToQueue('work', {});
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await publisher.sendToQueue('first', {});
    await until('the handler runs', () => isRunning);
    const closing = connection.close();
    letGo();
    expect(await closing).toMatchObject({ handlersFinished: 1, deliveriesReturned: 0, publishesFlushed: 1 });
    expect(connection.status().counters).toMatchObject({ acked: 1, deadLettered: 0 });
  });
});
