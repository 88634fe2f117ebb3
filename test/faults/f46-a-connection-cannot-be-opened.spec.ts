import dns from 'node:dns';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import { CertificateAuthority } from '../../tools/broker/certificates.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** As short as a handshake with a good address never is, busy as the machine may be. */
const CONNECT_TIMEOUT_MS = 1_200;
const NAME = 'broker.test';
/** On Linux every address of 127/8 is this machine. */
const SILENT_ADDRESS = '127.0.0.2';

describe('F46: when a connection cannot be opened', () => {
  const faults = useFaults();

  const failures = (): string[] => faults.oracle.eventsOf('attempt-failed').map(({ event }) => event.cause.message);

  describe('because the broker refuses connection.open', () => {
    /** The broker behind TLS, with a certificate for localhost. */
    async function behindTls(): Promise<{ url: string; ca: Buffer }> {
      const folder = await mkdtemp(join(tmpdir(), 'f46-'));
      faults.afterwards(() => rm(folder, { recursive: true }));
      const authority = await CertificateAuthority.create(folder);
      const leaf = await authority.sign('leaf', ['DNS:localhost']);
      const [cert, key, ca] = await Promise.all(
        [leaf.certificate, leaf.key, authority.certificate].map((file) => readFile(file)),
      );
      const server = createTlsServer({ cert, key }, (client) => {
        const broker = connectTcp({ host: '127.0.0.1', port: faults.broker.port });
        client.on('error', () => broker.destroy()).pipe(broker);
        broker.on('error', () => client.destroy()).pipe(client);
      });
      const port = await findFreePort();
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      faults.afterwards(() => server.close());
      return { url: `amqps://localhost:${port}`, ca: ca! };
    }

    it.each(['main', 'worker'] as const)('says why in the broker’s own words, heartbeat thread: %s', async (thread) => {
      const connection = faults.connect({ urls: faults.broker.urlFor('nowhere'), heartbeat: { thread } });
      await connection.start();
      const [text] = await until('an attempt failed', () => failures().length > 0 && failures());
      expect(text).toMatch(/refused connection\.open \(530\): NOT_ALLOWED - .*nowhere/);
      expect(await faults.broker.listConnections('nowhere')).toEqual([]);
    });

    it.each(['main', 'worker'] as const)('and behind TLS, heartbeat thread: %s', async (thread) => {
      const { url, ca } = await behindTls();
      const connection = faults.connect({ urls: `${url}/nowhere`, tls: { ca }, heartbeat: { thread } });
      await connection.start();
      const [text] = await until('an attempt failed', () => failures().length > 0 && failures());
      expect(text).toMatch(/refused connection\.open \(530\): NOT_ALLOWED - .*nowhere/);
    });

    it('names a limit of connections, and the way to need fewer of them, in what publish() and request() reject with', async () => {
      const limit = `[{<<"max-connections">>, 1}]`;
      await faults.broker.control(`rabbit_vhost_limit:set(<<"${faults.vhost.name}">>, ${limit}, <<"test">>)`);
      const connection = faults.connect();
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      await connection.start();
      await until('it consumes', () => connection.status().consumers.attached === 1);

      const reason = /connection limit \(1\) is reached.*links: 'shared'/;
      const publish = connection.publisher.sendToQueue('work', {}, { timeoutMs: 1_500 });
      const request = connection.rpc.request({ queue: 'work' }, {}, { timeoutMs: 1_500 });
      await expect(publish).rejects.toMatchObject({
        code: 'RMQ_PUBLISH_TIMEOUT',
        message: expect.stringMatching(reason),
        cause: { code: 'RMQ_CONNECT_FAILED', message: expect.stringMatching(reason) },
      });
      await expect(request).rejects.toMatchObject({ code: 'RMQ_RPC_TIMEOUT', cause: { code: 'RMQ_CONNECT_FAILED' } });
      await expect(connection.publisher.whenReady({ timeoutMs: 100 })).rejects.toMatchObject({
        code: 'RMQ_NOT_READY',
        cause: { code: 'RMQ_CONNECT_FAILED' },
      });
    });

    it('is in as soon as it may, though it has asked why', async () => {
      const connection = faults.connect({ urls: faults.broker.urlFor('later') });
      await connection.start();
      await until('three attempts failed', () => failures().length >= 3);
      await faults.broker.addVhost('later');
      faults.afterwards(() => faults.broker.deleteVhost('later'));
      await connection.whenOpen({ timeoutMs: 8_000 });
      expect(await faults.broker.listConnections('later')).toHaveLength(1);
    });

    it('control: amqplib keeps the words to itself', async () => {
      await expect(connectAmqplib(faults.broker.urlFor('nowhere'))).rejects.toThrow(
        'Expected ConnectionOpenOk; got <ConnectionClose channel:0>',
      );
    });
  });

  it('what ends by time says why: the last failed attempt', async () => {
    const port = await findFreePort();
    const connection = faults.connect({ urls: `amqp://127.0.0.1:${port}` });
    await connection.start();
    await expect(connection.publisher.sendToQueue('work', {}, { timeoutMs: 500 })).rejects.toMatchObject({
      message: expect.stringMatching(/could not be sent within 500 ms \(Cannot connect to amqp:\/\/127\.0\.0\.1/),
      cause: { code: 'RMQ_CONNECT_FAILED' },
    });
    await expect(connection.whenOpen({ timeoutMs: 50 })).rejects.toMatchObject({
      cause: { code: 'RMQ_CONNECT_FAILED' },
    });
  });

  describe('at one of the addresses that a name stands for', () => {
    const { lookup } = dns;
    let silent: Set<Socket>;

    beforeEach(async () => {
      silent = new Set();
      const server = createServer((socket) => void silent.add(socket.on('error', () => undefined)));
      server.listen(faults.broker.port, SILENT_ADDRESS);
      await once(server, 'listening');
      faults.afterwards(() => {
        for (const socket of silent) socket.destroy();
        server.close();
      });
      // The silent one first, always: what a hosts file would say.
      dns.lookup = ((name: string, options: { all?: boolean }, callback: (...answer: unknown[]) => void) => {
        if (name !== NAME) return lookup(name, options as object, callback as never);
        const addresses = [SILENT_ADDRESS, '127.0.0.1'].map((address) => ({ address, family: 4 }));
        process.nextTick(() => (options.all === true ? callback(null, addresses) : callback(null, SILENT_ADDRESS, 4)));
      }) as typeof dns.lookup;
    });
    afterEach(() => {
      dns.lookup = lookup;
    });

    const named = (): Partial<RmqConnectionOptions> => ({
      urls: faults.vhost.url.replace('127.0.0.1', NAME),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });

    it.each(['main', 'worker'] as const)(
      'goes on to the next one, though the first accepts and says nothing, heartbeat thread: %s',
      async (thread) => {
        const connection = faults.connect({ ...named(), heartbeat: { thread } });
        await connection.start();
        await connection.whenOpen({ timeoutMs: 8_000 });
        expect(failures()).toEqual([expect.stringContaining(`${NAME}:${faults.broker.port}`)]);
        expect(failures()[0]).toContain(` at ${SILENT_ADDRESS} within connectTimeoutMs`);
        expect(silent.size).toBe(1);
      },
    );

    it('control: bare amqplib dials the silent one every time', async () => {
      const { urls } = named();
      for (let attempt = 1; attempt <= 2; attempt++) {
        await expect(connectAmqplib(urls as string, { timeout: 300 })).rejects.toThrow('ETIMEDOUT');
        expect(silent.size).toBe(attempt);
      }
    });
  });
});
