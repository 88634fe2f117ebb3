import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { canSeeSockets, isSocketHeld } from '../support/links/own-sockets.js';
import { until } from '../support/until.js';

// The kernel's list of sockets, by which these specs judge, is Linux's.
(canSeeSockets ? describe : describe.skip)('a connection on the heartbeat thread', () => {
  const faults = useFaults();
  const onThread = { thread: 'worker', timeoutSeconds: 5 } as const;

  it('carries messages both ways, says where its heartbeats come from, and leaves nothing behind', async () => {
    const connection = faults.connect({ heartbeat: onThread });
    connection.subscribe({ queue: 'work' }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await Promise.all(Array.from({ length: 200 }, (_, i) => faults.oracle.publish(connection, '', 'work', `m${i}`)));
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.duplicates).toBe(0);
    expect(connection.status().links.map(({ heartbeatThread }) => heartbeatThread)).toEqual(['worker', 'worker']);
    const ports = (await faults.broker.listConnections(faults.vhost.name)).map(({ peerPort }) => peerPort);
    expect(ports).toHaveLength(2);
    await connection.close();
    for (const port of ports) expect(await isSocketHeld(port)).toBe(false);
  });

  it('names a refused port, a wrong password and a missing vhost as a direct one does', async () => {
    const codes = async (urls: string): Promise<unknown> => {
      const connection = faults.connect({ urls, heartbeat: onThread, startup: 'fail-fast' });
      return connection.start().catch((error: Error) => {
        const { code, cause } = error.cause as Error & { code: string; cause?: { code?: string } };
        return { code, underlying: cause?.code };
      });
    };
    expect(await codes('amqp://127.0.0.1:1')).toEqual({ code: 'RMQ_CONNECT_FAILED', underlying: 'ECONNREFUSED' });
    const wrongPassword = faults.vhost.url.replace('guest:guest', 'guest:wrong');
    expect(await codes(wrongPassword)).toMatchObject({ code: 'RMQ_LOGIN_REFUSED' });
    expect(await codes(`${faults.vhost.url}-missing`)).toMatchObject({ code: 'RMQ_CONNECT_FAILED' });
  });

  it('hears the words of the broker when an operator closes it', async () => {
    const connection = faults.connect({ heartbeat: onThread, links: 'shared' });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    await faults.broker.closeAllConnections('go away');
    const { event } = await until('it was lost', () => faults.oracle.eventsOf('link-lost')[0]);
    expect(event.cause).toMatchObject({ code: 'RMQ_LINK_LOST', message: expect.stringContaining('go away') });
  });

  it('says that the broker has closed the connection, and nothing of the door between the threads', async () => {
    const peer = createServer((socket) => socket.on('error', () => undefined).end());
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    faults.afterwards(() => peer.close());
    const { port } = peer.address() as AddressInfo;
    // As at boot: the end has come before the main thread gets to the door.
    const busy = setInterval(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60), 61);
    faults.afterwards(() => clearInterval(busy));
    const connection = faults.connect({ urls: `amqp://127.0.0.1:${port}`, heartbeat: onThread });
    const failures = () => faults.oracle.eventsOf('attempt-failed').map(({ event }) => event.cause.message);
    void connection.start();
    await until('several have failed', () => failures().length >= 6, { timeoutMs: 20_000 });
    const words = new Set(failures().map((message) => message.replace(/^.*?: /, '')));
    expect([...words].filter((one) => !/^(the broker closed the connection|Socket closed abruptly)/.test(one))).toEqual(
      [],
    );
  }, 30_000);

  it('lets go of a broker that reads nothing, without heartbeats that could tell', async () => {
    const proxy = await faults.proxy();
    const urls = proxy.url(faults.vhost.url);
    const connection = faults.connect({ urls, heartbeat: { thread: 'worker', timeoutSeconds: 0 }, links: 'shared' });
    connection.addTopology({ queues: [{ name: 'work' }] });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    const [port] = proxy.links.map(({ clientPort }) => clientPort);
    // Another connection, so that the thread does not end with this one.
    const other = faults.connect({ heartbeat: onThread });
    await other.start();
    await other.whenOpen({ timeoutMs: 5_000 });
    proxy.freeze();
    // More than the sockets on the way and the thread take.
    const filler = 'x'.repeat(1_000_000);
    const stuck = Array.from({ length: 30 }, () => connection.publisher.sendToQueue('work', { filler }).catch(() => 0));
    await connection.close({ drainTimeoutMs: 200 });
    await Promise.all(stuck);
    await until('the socket is gone', async () => !(await isSocketHeld(port!)));
  });
});
