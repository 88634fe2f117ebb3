import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { createServer as createPlainServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { CertificateAuthority } from '../../tools/broker/certificates.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const BACK_WITHIN_MS = 5_000;
/** So many attempts in a row are refused before we believe that they will go on to be. */
const SEVERAL = 4;
const HOSTS = ['DNS:localhost'];

const folder = await mkdtemp(join(tmpdir(), 'f21-'));
const authority = await CertificateAuthority.create(folder);
const successor = await CertificateAuthority.create(folder, 'successor');
const leaf = await authority.sign('first-leaf', HOSTS);
/** The file that the service is told to trust, and those that the broker shows; a test exchanges their content. */
const trusted = join(folder, 'trusted.pem');
const shown = { certificate: join(folder, 'shown.pem'), key: join(folder, 'shown.key') };
await copyFile(leaf.certificate, shown.certificate);
await copyFile(leaf.key, shown.key);
const tlsPort = await findFreePort('127.0.0.1');

describe('F21: when certificates change, or are bad', () => {
  const faults = useFaults({
    ownBroker: {
      config: {
        'listeners.ssl.1': `127.0.0.1:${tlsPort}`,
        'ssl_options.cacertfile': authority.certificate,
        'ssl_options.certfile': shown.certificate,
        'ssl_options.keyfile': shown.key,
        'ssl_options.verify': 'verify_none',
      },
    },
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const url = (port = tlsPort, host = 'localhost'): string =>
    `amqps://guest:guest@${host}:${port}/${encodeURIComponent(faults.vhost.name)}`;
  const readTrusted = () => ({ ca: readFileSync(trusted) });
  async function showCertificate(one: { certificate: string; key: string }): Promise<void> {
    await copyFile(one.certificate, shown.certificate);
    await copyFile(one.key, shown.key);
    // RabbitMQ reads them again for every handshake, out of a cache.
    await faults.broker.control('ssl:clear_pem_cache()');
  }
  /** Serial number of the certificate that the broker shows to whoever asks now. */
  async function serialShown(): Promise<string> {
    const socket = connectTls({ port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  }

  beforeEach(async () => {
    await copyFile(authority.certificate, trusted);
    await showCertificate(leaf);
  });

  describe.each(['main', 'worker'] as const)('with heartbeat.thread: %s', (thread) => {
    const connect = (options: Partial<RmqConnectionOptions> = {}): RmqConnection =>
      faults.connect({ urls: url(), tls: readTrusted, heartbeat: { thread, timeoutSeconds: 10 }, ...options });
    async function consuming(options: Partial<RmqConnectionOptions> = {}): Promise<RmqConnection> {
      const connection = connect(options);
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      await connection.start();
      await connection.whenOpen({ timeoutMs: 5_000 });
      return connection;
    }
    /** Publishes all the while; the returned function ends it. */
    function underLoad(connection: RmqConnection): () => Promise<void> {
      const end = new AbortController();
      const publishing = (async () => {
        for (let id = 0; !end.signal.aborted; id++) {
          void faults.oracle.publish(connection, '', 'work', `m${id}`);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      return () => (end.abort(), publishing);
    }
    /** The reasons of the attempts that failed so far: the errors of the dials themselves. */
    const refusals = (): { code?: unknown }[] =>
      faults.oracle
        .eventsOf('attempt-failed')
        .map(({ event }) => (event.cause as { cause?: { code?: unknown } }).cause ?? {});
    const untilRefusedOften = (): Promise<unknown> =>
      until('several attempts were refused', () => refusals().length >= SEVERAL, { timeoutMs: 20_000 });
    /** Every attempt of a service that was started with these options. */
    async function refusedWith(options: Partial<RmqConnectionOptions>): Promise<Set<unknown>> {
      const connection = connect(options);
      void connection.start();
      await untilRefusedOften();
      expect(faults.oracle.eventsOf('state-changed').some(({ event }) => event.to.name === 'recovering')).toBe(false);
      await connection.close();
      return new Set(refusals().map(({ code }) => code));
    }

    it('comes back with the certificate that replaced the old one, and loses nothing', async () => {
      const connection = await consuming();
      const before = await serialShown();
      const end = underLoad(connection);
      await until('messages flow', () => faults.oracle.confirmed.size > 20);
      await showCertificate(await authority.sign('second-leaf', HOSTS));
      expect(await serialShown()).not.toBe(before);
      await faults.broker.closeAllConnections('certificate rotated');
      await until('both links are back', () => connection.status().reconnects >= 2, { timeoutMs: BACK_WITHIN_MS });
      const soFar = faults.oracle.confirmed.size;
      await until('messages flow again', () => faults.oracle.confirmed.size > soFar + 20);
      await end();
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
      expect(refusals()).toEqual([]);
    });

    it('takes a new authority without a restart: refused until its file is there, and back soon after', async () => {
      const connection = await consuming();
      const end = underLoad(connection);
      await until('messages flow', () => faults.oracle.confirmed.size > 20);
      await showCertificate(await successor.sign('leaf-of-successor', HOSTS));
      await faults.broker.closeAllConnections('authority rotated');
      await untilRefusedOften();
      for (const { code } of refusals()) expect(code).toMatch(UNKNOWN_AUTHORITY);
      expect(connection.status().lastFailedAttempt).toMatchObject({ code: 'RMQ_CONNECT_FAILED' });
      await copyFile(successor.certificate, trusted);
      await until('both links are back', () => connection.status().reconnects >= 2, { timeoutMs: BACK_WITHIN_MS });
      await end();
      await faults.oracle.expectNothingLost();
      expect(faults.oracle.rejected).toEqual([]);
    });

    it('control: with options that were read once, the new authority stays unknown', async () => {
      const connection = await consuming({ tls: readTrusted() });
      await showCertificate(await successor.sign('leaf-of-successor', HOSTS));
      await faults.broker.closeAllConnections('authority rotated');
      await copyFile(successor.certificate, trusted);
      await untilRefusedOften();
      for (const { code } of refusals()) expect(code).toMatch(UNKNOWN_AUTHORITY);
      expect(connection.status().reconnects).toBe(0);
    });

    describe('refuses, attempt after attempt,', () => {
      it('a certificate that has expired', async () => {
        await showCertificate(await authority.sign('expired-leaf', HOSTS, -1));
        expect(await refusedWith({})).toEqual(new Set(['CERT_HAS_EXPIRED']));
      });

      it('a certificate for another name', async () => {
        await showCertificate(await authority.sign('elsewhere', ['DNS:broker.example']));
        expect(await refusedWith({})).toEqual(new Set(['ERR_TLS_CERT_ALTNAME_INVALID']));
      });

      it('an authority that it was not told to trust', async () => {
        const refused = [...(await refusedWith({ tls: { ca: readFileSync(successor.certificate) } }))];
        expect(refused).toHaveLength(1);
        expect(refused[0]).toMatch(UNKNOWN_AUTHORITY);
      });

      it('control: told not to verify, it takes all of these', async () => {
        await showCertificate(await successor.sign('elsewhere', ['DNS:broker.example'], -1));
        const connection = await consuming({ tls: { rejectUnauthorized: false } });
        expect(connection.state.name).toBe('open');
      });

      it('a broker that speaks no TLS later than 1.0', async () => {
        const peer = createServer({
          cert: readFileSync(leaf.certificate),
          key: readFileSync(leaf.key),
          minVersion: 'TLSv1',
          maxVersion: 'TLSv1',
          ciphers: 'DEFAULT@SECLEVEL=0',
        });
        const agreed: (string | null)[] = [];
        peer.on('secureConnection', (socket: TLSSocket) => {
          agreed.push(socket.getProtocol());
          socket.on('error', () => undefined).destroy();
        });
        peer.listen(0, '127.0.0.1');
        await once(peer, 'listening');
        faults.afterwards(() => peer.close());
        const { port } = peer.address() as { port: number };
        const refused = [...(await refusedWith({ urls: url(port) }))];
        expect(refused.join()).toMatch(/^(ERR_SSL_\w*(PROTOCOL|VERSION|ALERT)\w*|ECONNRESET)$/);
        expect(agreed).toEqual([]);
        // Control: there is somebody, who agrees on 1.0 with a client that lets itself be talked down.
        const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0', rejectUnauthorized: false } as const;
        const careless = connectTls({ port, host: '127.0.0.1', ...old }).on('error', () => undefined);
        await until('they agree', () => agreed.length > 0);
        careless.destroy();
        expect(agreed).toEqual(['TLSv1']);
      });

      it('a port that speaks no TLS, and says not a word of AMQP to it', async () => {
        const heard: Buffer[] = [];
        const peer = createPlainServer((socket) => {
          socket
            .on('error', () => undefined)
            .once('data', (bytes) => {
              heard.push(bytes);
              // What RabbitMQ says to a client that it does not understand.
              socket.end(Buffer.from('AMQP\0\0\x09\x01', 'latin1'));
            });
        });
        peer.listen(0, '127.0.0.1');
        await once(peer, 'listening');
        faults.afterwards(() => peer.close());
        const { port } = peer.address() as { port: number };
        expect(await refusedWith({ urls: url(port) })).toEqual(new Set(['ERR_SSL_WRONG_VERSION_NUMBER']));
        expect(heard.length).toBeGreaterThanOrEqual(SEVERAL);
        for (const bytes of heard) {
          expect(bytes[0]).toBe(TLS_HANDSHAKE);
          expect(bytes.includes('AMQP') || bytes.includes('guest')).toBe(false);
        }
      });
    });
  });

  it('control: bare amqplib with its recovery asks for no certificates again, and is gone for good', async () => {
    const recovery = { setup: () => Promise.resolve() };
    const session = await connectAmqplib(url(), { ...readTrusted(), recovery });
    session.on('error', () => undefined);
    faults.afterwards(() => session.close().catch(() => undefined));
    await showCertificate(await successor.sign('leaf-of-successor', HOSTS));
    await copyFile(successor.certificate, trusted);
    await faults.broker.closeAllConnections('authority rotated');
    const connections = async () => (await faults.broker.listConnections(faults.vhost.name)).length;
    await expect(until('it is back', async () => (await connections()) > 0, { timeoutMs: 3_000 })).rejects.toThrow(
      /in vain/,
    );
  });
});

const UNKNOWN_AUTHORITY =
  /^(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/;
/** Content type of the first record of a TLS session. */
const TLS_HANDSHAKE = 0x16;
