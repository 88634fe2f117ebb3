import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TlsOptions } from 'node:tls';
import { once } from 'node:events';
import { afterAll, describe, expect, it } from '@jest/globals';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { findFreePorts } from '#testing/base/free-ports.js';
import { blockedChild } from '../support/children/blocked-child.js';
import { CertificateAuthority } from '../../tools/broker/certificates.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** `blockS` in seconds, beyond two to three timeouts, at which RabbitMQ gives a silent client up; and once not beyond. */
const STALLS =
  process.env['RMQ_LONG_TESTS'] === '1'
    ? [
        { timeoutSeconds: 5, blockS: 5 },
        { timeoutSeconds: 5, blockS: 15 },
        { timeoutSeconds: 5, blockS: 45 },
      ]
    : [{ timeoutSeconds: 2, blockS: 9 }];
const folder = await mkdtemp(join(tmpdir(), 'relay-tls-'));
const authority = await CertificateAuthority.create(folder);
const stranger = await CertificateAuthority.create(folder, 'stranger');
const server = await authority.sign('server', ['DNS:localhost']);
const client = await authority.sign('client');
const strangersClient = await stranger.sign('intruder');
const [tlsPort] = (await findFreePorts(1)) as [number];

// Certificates that change or are bad: test/faults/f21.
describe('TLS', () => {
  const faults = useFaults({
    ownBroker: {
      config: {
        'listeners.ssl.1': `127.0.0.1:${tlsPort}`,
        'ssl_options.cacertfile': authority.certificate,
        'ssl_options.certfile': server.certificate,
        'ssl_options.keyfile': server.key,
        'ssl_options.verify': 'verify_peer',
        'ssl_options.fail_if_no_peer_cert': 'true',
      },
    },
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const read = (path: string): Buffer => readFileSync(path);
  const ours = { ca: read(authority.certificate), cert: read(client.certificate), key: read(client.key) };
  const url = (host = 'localhost', port = tlsPort): string =>
    `amqps://guest:guest@${host}:${port}/${encodeURIComponent(faults.vhost.name)}`;

  describe.each(['main', 'worker'] as const)('with heartbeat.thread: %s', (thread) => {
    const connect = (options: Partial<RmqConnectionOptions>) =>
      faults.connect({ urls: url(), heartbeat: { thread, timeoutSeconds: 10 }, ...options });

    /** What the first attempt ended with: the error of the dial itself. */
    async function refusal(options: Partial<RmqConnectionOptions>): Promise<{ code?: unknown } | undefined> {
      const connection = connect(options);
      void connection.start();
      const failed = await until('an attempt fails', () => faults.oracle.eventsOf('attempt-failed')[0]);
      await connection.close();
      return (failed.event.cause as Error & { cause?: { code?: unknown } }).cause;
    }

    it('connects with certificates of both sides, verified, and carries messages of every size', async () => {
      const connection = connect({ tls: ours });
      const sizes: number[] = [];
      connection.subscribe(
        { queue: 'work' },
        (payload) => void sizes.push((payload as { filler: string }).filler.length),
      );
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      const wanted = [0, 1, 1_000, 16_384, 100_000, 1_000_000, 3_000_000];
      await Promise.all(wanted.map((size) => connection.publisher.sendToQueue('work', { filler: 'x'.repeat(size) })));
      await until('all came', () => sizes.length === wanted.length);
      expect(sizes.toSorted((a, b) => a - b)).toEqual(wanted);
    });

    it('is refused with a certificate of a stranger', async () => {
      const { certificate, key } = strangersClient;
      expect(await refusal({ tls: { ...ours, cert: read(certificate), key: read(key) } })).toMatchObject({
        code: expect.stringMatching(/^(ERR_SSL_.*ALERT.*|ECONNRESET)$/),
      });
    });

    it('says whom it wants to speak to (SNI)', async () => {
      const asked: string[] = [];
      const options: TlsOptions = {
        cert: read(server.certificate),
        key: read(server.key),
        SNICallback: (name, done) => {
          asked.push(name);
          done(null);
        },
      };
      const peer = createServer(options, (socket) => socket.on('error', () => undefined).destroy());
      peer.listen(0, '127.0.0.1');
      await once(peer, 'listening');
      faults.afterwards(() => peer.close());
      const { port } = peer.address() as { port: number };
      await refusal({ tls: { ca: ours.ca }, urls: url('localhost', port) });
      expect(asked[0]).toBe('localhost');
    });
  });

  // In an object it is refused at boot: connection-options.spec.
  it('a function among the TLS options that are asked for before a dial cannot go to the thread, which is said with the way out', async () => {
    const connection = faults.connect({
      urls: url(),
      heartbeat: { thread: 'worker' },
      tls: () => ({ ...ours, checkServerIdentity: () => undefined }),
    });
    void connection.start();
    const { event } = await until('an attempt fails', () => faults.oracle.eventsOf('attempt-failed')[0]);
    expect(event.cause.message).toMatch(/tls\.checkServerIdentity: .* or use heartbeat\.thread: 'main'/);
  });

  it.each(STALLS)(
    'the connection is kept while the event loop is blocked for $blockS s at a timeout of $timeoutSeconds s, also under TLS',
    async ({ timeoutSeconds, blockS }) => {
      const caFile = authority.certificate;
      const heartbeat = { thread: 'worker', timeoutSeconds } as const;
      const service = await blockedChild(faults, heartbeat, { url: url(), caFile, ...client });
      await faults.connect().publisher.sendToQueue('work', { id: 'blocker', blockMs: blockS * 1_000 });
      expect((await service.told('woke', blockS * 1_000 + 20_000)).isLive).toBe(true);
      expect(service.facts('lost')).toEqual([]);
      expect(service.facts('started')).toHaveLength(1);
      expect((await service.told('status')).status).toMatchObject({ reconnects: 0, counters: { acked: 1 } });
    },
    80_000,
  );
});
