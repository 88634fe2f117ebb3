/** Nagle's algorithm and delayed acks together hold a small write back for some 40 ms; a link must not wait for that. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { RelayRequest } from '#engine/relay/shared/relay-messages.js';
import { Relay } from '#engine/relay/relay.js';
import { HEARTBEAT_FRAME } from '../../tools/broker/amqp-codec.js';
import { CertificateAuthority } from '../../tools/broker/certificates.js';

const folder = await mkdtemp(join(tmpdir(), 'relay-small-'));
const authority = await CertificateAuthority.create(folder);
const certificate = await authority.sign('server', ['DNS:localhost']);
const ca = readFileSync(authority.certificate);
const QUESTIONS = 40;
const HELD_BACK_MS = 20;

describe('a small request in two parts', () => {
  let ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Answers each pair of frames with a byte. */
  async function peer(kind: 'tcp' | 'tls'): Promise<number> {
    const answer = (socket: Socket): void => {
      ends.push(() => socket.destroy());
      socket.setNoDelay(true);
      let bytes = 0;
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        for (; bytes >= 2 * HEARTBEAT_FRAME.length; bytes -= 2 * HEARTBEAT_FRAME.length) socket.write('x');
      });
    };
    const server: Server =
      kind === 'tcp'
        ? createServer(answer)
        : createTlsServer({ cert: readFileSync(certificate.certificate), key: readFileSync(certificate.key) }, answer);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => server.close());
    return (server.address() as AddressInfo).port;
  }

  /** How long the answers took as a rule: the lower quartile, in which the machine has no say. */
  async function tookMs(client: Socket): Promise<number> {
    const took: number[] = [];
    for (let question = 0; question < QUESTIONS; question++) {
      const askedAt = performance.now();
      client.write(HEARTBEAT_FRAME);
      await new Promise((resolve) => setTimeout(resolve, 2));
      client.write(HEARTBEAT_FRAME);
      await once(client, 'data');
      took.push(performance.now() - askedAt);
    }
    return took.toSorted((a, b) => a - b)[QUESTIONS / 4]!;
  }

  it.each(['tcp', 'tls'] as const)('is not held back by the heartbeat thread: %s', async (kind) => {
    const port = await peer(kind);
    const dial: RelayRequest = {
      host: 'localhost',
      port,
      tls: kind === 'tls' ? { ca } : null,
      timeoutMs: 10_000,
      pace: { sendAfterTimeouts: 0.5, sendWithinMs: null, deadAfterTimeouts: 1.5 },
      maxStallMs: 60_000,
      onStallLimit: 'close',
    };
    const share = new Relay().share();
    ends.push(() => share.release());
    const passage = await share.dial(dial, new AbortController().signal);
    const client = connect(passage.path);
    ends.push(() => (client.destroy(), passage.end()));
    await once(client, 'connect');
    expect(await tookMs(client)).toBeLessThan(HELD_BACK_MS);
  });

  it('is held back where nobody turns that off: the negative control', async () => {
    const client = connectTls({ host: 'localhost', port: await peer('tls'), ca });
    ends.push(() => client.destroy());
    await once(client, 'secureConnect');
    client.setNoDelay(false);
    expect(await tookMs(client)).toBeGreaterThan(HELD_BACK_MS);
  });
});
