import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { afterAll, describe, expect, it } from '@jest/globals';
import { connect as connectAmqplib } from 'amqplib';
import { CertificateAuthority } from '../../tools/broker/certificates.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const folder = await mkdtemp(join(tmpdir(), 'client-certificates-'));
const authority = await CertificateAuthority.create(folder);
const broker = await authority.sign('broker', ['DNS:localhost']);
const tlsPort = await findFreePort('127.0.0.1');

describe("credentials: 'external'", () => {
  const faults = useFaults({
    ownBroker: {
      plugins: ['rabbitmq_auth_mechanism_ssl'],
      config: {
        'listeners.ssl.1': `127.0.0.1:${tlsPort}`,
        'ssl_options.cacertfile': authority.certificate,
        'ssl_options.certfile': broker.certificate,
        'ssl_options.keyfile': broker.key,
        'ssl_options.verify': 'verify_peer',
        'ssl_options.fail_if_no_peer_cert': 'false',
        ssl_cert_login_from: 'common_name',
        'auth_mechanisms.1': 'EXTERNAL',
        'auth_mechanisms.2': 'PLAIN',
      },
    },
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const address = () => ({
    ...({ protocol: 'amqps', hostname: 'localhost', port: tlsPort } as const),
    vhost: faults.vhost.name,
  });
  async function certificateOf(user: string): Promise<TlsOptions> {
    const { certificate, key } = await authority.sign(user);
    return { ca: readFileSync(authority.certificate), cert: readFileSync(certificate), key: readFileSync(key) };
  }
  const refusals = (): unknown[] => faults.oracle.eventsOf('attempt-failed').map(({ event }) => event.cause);

  it.each(['main', 'worker'] as const)(
    'logs in as whom the certificate names (heartbeat.thread: %s)',
    async (thread) => {
      await faults.broker.addUser('clerk', 'a password that nobody uses');
      faults.afterwards(() => faults.broker.deleteUser('clerk'));
      await faults.broker.setPermissions('clerk', faults.vhost.name);
      const tls = await certificateOf('clerk');
      const connection = faults.connect({
        ...{ urls: [address()], credentials: 'external', tls: () => tls },
        heartbeat: { thread },
      });
      connection.subscribe({ queue: 'work' }, faults.oracle.consume);
      await connection.start();
      await faults.oracle.publish(connection, '', 'work', 'm');
      await faults.oracle.expectNothingLost();
      const users = (await faults.broker.listConnections(faults.vhost.name)).map(({ user }) => user);
      expect(users).toEqual(['clerk', 'clerk']);
    },
  );

  it('is refused, slowly, for a certificate of nobody that the broker knows', async () => {
    const tls = await certificateOf('stranger');
    const connection = faults.connect({ urls: [address()], credentials: 'external', tls });
    void connection.start();
    await until('it was refused', () => refusals().length > 0);
    expect(refusals()).toMatchObject([{ code: 'RMQ_LOGIN_REFUSED' }]);
    expect(faults.oracle.eventsOf('attempt-failed')[0]?.event.retryInMs).toBeGreaterThanOrEqual(5_000);
  });

  it('says what the broker lacks when it knows no such login', async () => {
    await faults.broker.control("application:set_env(rabbit, auth_mechanisms, ['PLAIN'])");
    faults.afterwards(() =>
      faults.broker.control("application:set_env(rabbit, auth_mechanisms, ['EXTERNAL', 'PLAIN'])"),
    );
    const tls = await certificateOf('clerk');
    const connection = faults.connect({ urls: [address()], credentials: 'external', tls });
    void connection.start();
    await until('it failed', () => refusals().length > 0);
    expect(refusals()[0]).toMatchObject({
      code: 'RMQ_CONNECT_FAILED',
      message: expect.stringMatching(/EXTERNAL is not provided.*rabbitmq_auth_mechanism_ssl/),
    });
  });

  it('fails an attempt for which a function gives no certificate', async () => {
    const connection = faults.connect({ urls: [address()], credentials: 'external', tls: () => ({}) });
    void connection.start();
    await until('it failed', () => refusals().length > 0);
    expect(refusals()[0]).toMatchObject({ message: expect.stringMatching(/tls: it has no client certificate/) });
  });

  it('control: the same certificate with the login of a URL is not the user that it names', async () => {
    const tls = await certificateOf('clerk');
    const url = `amqps://guest:guest@localhost:${tlsPort}/${encodeURIComponent(faults.vhost.name)}`;
    const session = await connectAmqplib(url, tls);
    faults.afterwards(() => session.close());
    expect((await faults.broker.listConnections(faults.vhost.name)).map(({ user }) => user)).toEqual(['guest']);
  });
});
