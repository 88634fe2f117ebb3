import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import nodeTls, { type ConnectionOptions, type TlsOptions } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { Relay, type RelayShare } from '#engine/relay/relay.js';
import { CertificateAuthority } from '../../tools/broker/certificates.js';
import type { Dialled } from '../support/programs/relay-dialler.js';
import { relayRequest } from '../support/programs/relay-request.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const folder = await mkdtemp(join(tmpdir(), 'relay-defaults-'));
const authority = await CertificateAuthority.create(folder);
const signed = await authority.sign('server', ['DNS:localhost']);
const ca = readFileSync(authority.certificate, 'utf8');
const server = { cert: readFileSync(signed.certificate), key: readFileSync(signed.key) };

/** From Node 22.19 and 24.5 on. */
const trustStore = nodeTls as unknown as {
  getCACertificates(kind: 'default'): string[];
  setDefaultCACertificates?(certificates: readonly string[]): void;
};

const tidyUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const tidy of tidyUp.splice(0).toReversed()) await tidy();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function listening(options: TlsOptions): Promise<number> {
  const peer = nodeTls.createServer({ ...server, ...options }, (socket) => socket.on('error', () => undefined));
  peer.listen(0, 'localhost');
  await once(peer, 'listening');
  tidyUp.push(() => peer.close());
  return (peer.address() as { port: number }).port;
}

// What a program sets for all its TLS by a call or an assignment, which holds for the thread that did it.
describe.each(['main', 'worker'] as const)('defaults of the process, for a dial in the %s thread', (thread) => {
  let share: RelayShare | undefined;

  /** The error's code, or `connected`. */
  async function outcome(port: number, tls: ConnectionOptions): Promise<string> {
    const dialled = thread === 'main' ? dialDirectly(port, tls) : dialThroughRelay(port, tls);
    return dialled.then(
      () => 'connected',
      (error: { code?: string }) => error.code ?? 'without a code',
    );
  }

  async function dialDirectly(port: number, tls: ConnectionOptions): Promise<void> {
    const socket = nodeTls.connect({ ...tls, host: 'localhost', port, servername: 'localhost' });
    tidyUp.push(() => socket.destroy());
    await once(socket, 'secureConnect');
  }

  /** One relay for a whole test: a thread that was told something keeps it. */
  async function dialThroughRelay(port: number, tls: ConnectionOptions): Promise<void> {
    if (share === undefined) {
      const used = (share = new Relay().share());
      tidyUp.push(async () => {
        share = undefined;
        await used.release();
      });
    }
    await share.dial(relayRequest(port, tls), new AbortController().signal);
  }

  function set<Name extends 'DEFAULT_MIN_VERSION' | 'DEFAULT_MAX_VERSION' | 'DEFAULT_CIPHERS' | 'DEFAULT_ECDH_CURVE'>(
    name: Name,
    value: (typeof nodeTls)[Name],
  ): void {
    const before = nodeTls[name];
    tidyUp.push(() => (nodeTls[name] = before));
    nodeTls[name] = value;
  }

  it.each([
    ['DEFAULT_MIN_VERSION', 'TLSv1.3', { maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.2' }],
    ['DEFAULT_MAX_VERSION', 'TLSv1.2', { minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.3' }],
    [
      'DEFAULT_CIPHERS',
      'ECDHE-ECDSA-AES256-GCM-SHA384',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
      { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
    ],
    ['DEFAULT_ECDH_CURVE', 'P-384', { ecdhCurve: 'P-256' }, { ecdhCurve: 'P-256' }],
  ] as const)('tls.%s %s is kept to, and the options of a dial go before it', async (name, value, peer, own) => {
    const port = await listening(peer);
    expect(await outcome(port, { ca })).toBe('connected');
    set(name, value);
    expect(await outcome(port, { ca })).toMatch(/^(ERR_SSL_|ECONNRESET)/);
    expect(await outcome(port, { ca, ...own })).toBe('connected');
  });

  it('tls.DEFAULT_MIN_VERSION is no obstacle to `secureProtocol`, with which node takes no versions', async () => {
    const port = await listening({ maxVersion: 'TLSv1.2' });
    set('DEFAULT_MIN_VERSION', 'TLSv1.3');
    expect(await outcome(port, { ca, secureProtocol: 'TLSv1_2_method' })).toBe('connected');
  });

  (trustStore.setDefaultCACertificates === undefined ? it.skip : it)(
    'the authorities of tls.setDefaultCACertificates() are trusted, as long as they are set, and no others',
    async () => {
      const port = await listening({});
      const before = trustStore.getCACertificates('default');
      tidyUp.push(() => trustStore.setDefaultCACertificates?.(before));
      expect(await outcome(port, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      trustStore.setDefaultCACertificates?.([ca]);
      expect(await outcome(port, {})).toBe('connected');
      expect(await outcome(port, {})).toBe('connected');
      trustStore.setDefaultCACertificates?.(before);
      expect(await outcome(port, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      expect(await outcome(port, { ca })).toBe('connected');
    },
  );
});

// What is set for a process where it is started.
describe('options of node, for a dial in the worker thread', () => {
  const canUseSystemCa = process.allowedNodeEnvironmentFlags.has('--use-system-ca');

  async function outcomeWith(port: number, start: { nodeOptions?: readonly string[]; env?: NodeJS.ProcessEnv }) {
    const program = new URL('../support/programs/relay-dialler.ts', import.meta.url);
    const child = TypescriptChild.start(program, { args: [`${port}`], ...start });
    tidyUp.push(() => child.dispose());
    return (await until(`it has dialled; stderr: ${child.stderr}`, () => child.facts<Dialled>()[0])).outcome;
  }

  it.each(canUseSystemCa ? ['--use-system-ca', '--use-openssl-ca'] : ['--use-openssl-ca'])(
    '%s is heeded: what the system trusts is trusted',
    async (option) => {
      const port = await listening({});
      const env = { SSL_CERT_FILE: authority.certificate };
      expect(await outcomeWith(port, { env })).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      expect(await outcomeWith(port, { env, nodeOptions: [option] })).toBe('connected');
      expect(await outcomeWith(port, { env: { ...env, NODE_OPTIONS: option } })).toBe('connected');
    },
  );

  it('--tls-min-v1.3 is heeded', async () => {
    const port = await listening({ maxVersion: 'TLSv1.2' });
    const env = { NODE_EXTRA_CA_CERTS: authority.certificate };
    expect(await outcomeWith(port, { env })).toBe('connected');
    const refused = await outcomeWith(port, { env, nodeOptions: ['--tls-min-v1.3'] });
    expect(refused).toMatch(/^(ERR_SSL_|ECONNRESET)/);
  });
});
