/**
 * Half-open links: the path swallows what is sent, and no end of it is told.
 *
 * Silence toward us is ours to notice, after 1.5 heartbeat timeouts. When only our own bytes get lost, the broker's
 * heartbeats still arrive, so to us the link looks sound: the broker is the one to notice, after 2 to 3 timeouts, and its
 * closing of the socket is what we see.
 */
import { describe, expect, it } from '@jest/globals';
import { connect, type ChannelModel } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { Directions, FaultProxy } from '#testing/proxy/fault-proxy.js';
import { useFaults } from '../support/fault-fixture.js';
import { canSeeSockets, isSocketHeld } from '../support/links/own-sockets.js';
import { until } from '../support/until.js';

const HEARTBEAT_SECONDS = 2;
const DETECTED_WITHIN_MS = 1_500 * HEARTBEAT_SECONDS + 1_000;
const DESTROYED_WITHIN_MS = 1_000;

type Silence = 'silence' | 'freeze';

describe('F5: when the link goes silent without closing', () => {
  const faults = useFaults();

  /** Open through the proxy, both links in use, with the broker's own address to turn to. */
  async function throughProxy(proxy: FaultProxy, options: Partial<RmqConnectionOptions> = {}): Promise<RmqConnection> {
    const connection = faults.connect({
      urls: [proxy.url(faults.vhost.url), faults.vhost.url],
      heartbeat: { timeoutSeconds: HEARTBEAT_SECONDS },
      ...options,
    });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', 'work', 'before');
    expect(proxy.links).toHaveLength(2);
    return connection;
  }

  /** Milliseconds from `since` until each of the two links was given up, also without the machine's share, with its cause. */
  async function losses(since: number): Promise<{ afterMs: number; oursMs: number; code: string }[]> {
    const lost = () => faults.oracle.eventsOf('link-lost');
    await until('both links were given up', () => lost().length === 2, { timeoutMs: 12_000, everyMs: 5 });
    return lost().map(({ at, event }) => ({
      afterMs: at - since,
      oursMs: faults.tookMs(since, at),
      code: (event.cause as { code?: string }).code ?? '',
    }));
  }

  async function untilDestroyed(ports: readonly number[], timeoutMs: number): Promise<void> {
    if (!canSeeSockets) return;
    for (const port of ports)
      await until(`the socket at port ${port} is destroyed`, async () => !(await isSocketHeld(port)), { timeoutMs });
  }

  it.each<{ kind: Silence; directions: Directions }>([
    { kind: 'silence', directions: 'both' },
    { kind: 'silence', directions: 'to-client' },
    { kind: 'freeze', directions: 'both' },
    { kind: 'freeze', directions: 'to-client' },
  ])(
    'gives the peer up in time, destroys the socket, and goes on elsewhere ($kind, $directions)',
    async ({ kind, directions }) => {
      const proxy = await faults.proxy();
      const connection = await throughProxy(proxy);
      const ports = proxy.links.map(({ clientPort }) => clientPort);

      proxy[kind](directions);
      const since = performance.now();
      const published = faults.oracle.publish(connection, '', 'work', 'in the silence');

      for (const { oursMs, code } of await losses(since)) {
        expect(code).toBe('RMQ_PEER_DEAD');
        expect(oursMs).toBeLessThanOrEqual(DETECTED_WITHIN_MS);
      }
      await untilDestroyed(ports, DESTROYED_WITHIN_MS);
      await connection.whenOpen({ timeoutMs: 5_000 });
      await published;
      proxy.heal();
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
      await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
    },
  );

  it.each<{ kind: Silence }>([{ kind: 'silence' }, { kind: 'freeze' }])(
    'leaves it to the broker to notice that our bytes get lost, which takes it 2 to 3 timeouts ($kind, to-broker)',
    async ({ kind }) => {
      const proxy = await faults.proxy();
      const connection = await throughProxy(proxy);
      const ports = proxy.links.map(({ clientPort }) => clientPort);

      proxy[kind]('to-broker');
      const since = performance.now();
      const published = faults.oracle.publish(connection, '', 'work', 'in the silence');

      for (const { afterMs, oursMs, code } of await losses(since)) {
        expect(code).toBe('RMQ_LINK_LOST');
        expect(afterMs).toBeGreaterThan(1_500 * HEARTBEAT_SECONDS);
        expect(oursMs).toBeLessThanOrEqual(3_000 * HEARTBEAT_SECONDS + 1_000);
      }
      await untilDestroyed(ports, DESTROYED_WITHIN_MS);
      await connection.whenOpen({ timeoutMs: 5_000 });
      await published;
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
    },
  );

  it('consumes again through the second address within 9 s at a timeout of 5 s, with the publish of the silence confirmed', async () => {
    const proxy = await faults.proxy();
    const connection = await throughProxy(proxy, { heartbeat: { timeoutSeconds: 5 } });
    proxy.silence();
    const since = performance.now();
    const published = faults.oracle.publish(connection, '', 'work', 'in the silence');

    for (const { oursMs } of await losses(since)) expect(oursMs).toBeLessThanOrEqual(8_500);
    await published;
    await connection.whenOpen({ timeoutMs: 5_000 });
    // The broker still believes in the old consumer, and gives it every other message until it gives up the old link.
    const fresh = ['fresh 1', 'fresh 2', 'fresh 3'];
    await Promise.all(fresh.map((id) => faults.oracle.publish(connection, '', 'work', id)));
    await until('it consumes again', () => fresh.some((id) => faults.oracle.consumed.has(id)), { timeoutMs: 5_000 });
    expect(faults.tookMs(since)).toBeLessThanOrEqual(9_000);
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('rejects a publish of the silence at its own time limit, and none hangs', async () => {
    const proxy = await faults.proxy();
    const connection = await throughProxy(proxy, { urls: proxy.url(faults.vhost.url) });
    proxy.silence();
    const since = performance.now();
    const ids = Array.from({ length: 50 }, (_, i) => `in the silence ${i}`);
    await Promise.all(ids.map((id) => faults.oracle.publish(connection, '', 'work', id, 1_500)));

    expect(faults.tookMs(since)).toBeLessThanOrEqual(2_500);
    expect(faults.oracle.rejected.map(({ error }) => (error as { code?: string }).code)).toEqual(
      ids.map(() => 'RMQ_PUBLISH_TIMEOUT'),
    );
    expect(connection.status().outbox).toMatchObject({ queued: 0, waiting: 0, bytes: 0 });
  });

  it('is back within 5 s when the path heals, even if every address accepted the connection and stayed silent', async () => {
    const [proxy, standby] = [await faults.proxy(), await faults.proxy()];
    standby.hangNew();
    const connection = await throughProxy(proxy, {
      urls: [proxy.url(faults.vhost.url), standby.url(faults.vhost.url)],
      connectTimeoutMs: 1_000,
    });
    proxy.silence();
    await until('both addresses were tried in vain', () => proxy.acceptedLinks > 3 && standby.acceptedLinks > 1, {
      timeoutMs: 15_000,
    });
    proxy.heal();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.oracle.publish(connection, '', 'work', 'after');
    await faults.oracle.expectNothingLost();
    await faults.oracle.expectBrokerAgrees(faults.broker, faults.vhost.name, connection, ['work']);
  });

  it('control: bare amqplib notices too late, keeps the socket half-closed, and its close() never settles', async () => {
    const proxy = await faults.proxy();
    const url = `${proxy.url(faults.vhost.url)}?heartbeat=${HEARTBEAT_SECONDS}`;
    const sessions = await Promise.all([connect(url), connect(url)]);
    faults.afterwards(() => sessions.forEach((session) => rawSocket(session).destroy()));
    const [patient, closing] = sessions;
    let lostAt: number | undefined;
    patient.on('error', () => undefined);
    patient.on('close', () => (lostAt = performance.now()));
    closing.on('error', () => undefined);
    const port = rawSocket(patient).localPort!;

    proxy.silence();
    const since = performance.now();
    let isClosed = false;
    void closing.close().then(
      () => (isClosed = true),
      () => (isClosed = true),
    );
    await until('amqplib noticed', () => lostAt, { timeoutMs: 10_000, everyMs: 1 });
    expect(lostAt! - since).toBeGreaterThan(DETECTED_WITHIN_MS);
    const destroyed = untilDestroyed([port], 2 * DESTROYED_WITHIN_MS);
    if (canSeeSockets) await expect(destroyed).rejects.toThrow(/in vain until the socket/);
    expect(isClosed).toBe(false);
  });
});

function rawSocket(session: ChannelModel) {
  return (session.connection as unknown as { stream: import('node:net').Socket }).stream;
}
