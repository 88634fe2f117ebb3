/**
 * Real clients in other languages: what a handler gets from them, and what they get from us.
 *
 * Clients differ from release to release in what they make of rare header types: docs/interop.md says so with versions, and
 * here only that is asserted which holds for all.
 */
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import type { Delivery, RmqConnection } from 'nestjs-rmq-keepalive';
import { useFaults } from '../../support/fault-fixture.js';
import { until } from '../../support/until.js';
import { missingPackages, noteDebianRow } from '../support/debian.js';

const exec = promisify(execFile);
const PACKAGES = ['python3-pika', 'python3-kombu', 'ruby-bunny', 'php-amqplib', 'php-cli', 'amqp-tools'];
const program = (file: string): string => resolve('test/ecosystem/interop/programs', file);
const BYTES = Buffer.from([0, 255]);

interface Client {
  readonly name: string;
  readonly package: string;
  /** Command and arguments, for an address that is a URL or its parts. */
  command(mode: 'publish' | 'read', url: URL, queue: string): readonly string[];
  /** What the handler is called with, in order. */
  readonly payloads: readonly unknown[];
  /** Why the others are dead letters. */
  readonly refused: readonly RegExp[];
}

const NOT_JSON = /it is not valid JSON/;

const CLIENTS: readonly Client[] = [
  {
    name: 'pika',
    package: 'python3-pika',
    command: (mode, url, queue) => ['/usr/bin/python3', program('pika-client.py'), mode, url.href, queue],
    payloads: [{ id: 1 }, 'plain text', BYTES, { id: 2 }],
    refused: [NOT_JSON],
  },
  {
    name: 'kombu',
    package: 'python3-kombu',
    command: (mode, url, queue) => ['/usr/bin/python3', program('kombu-client.py'), mode, url.href, queue],
    // The last one is compressed.
    payloads: ['plain text', { id: 1 }, { id: 2 }, { id: 3 }],
    refused: [/content type "application\/data" is neither JSON, text nor application\/octet-stream/],
  },
  {
    name: 'bunny',
    package: 'ruby-bunny',
    command: (mode, url, queue) => ['/usr/bin/ruby', program('bunny-client.rb'), mode, url.href, queue],
    payloads: [Buffer.from('plain text'), Buffer.from('{"id":1}'), 'plain text', { id: 2 }],
    refused: [],
  },
  {
    name: 'php-amqplib',
    package: 'php-amqplib',
    command: (mode, url, queue) => {
      const address = [url.hostname, url.port, decodeURIComponent(url.pathname.slice(1))];
      return ['/usr/bin/php', program('php-amqplib-client.php'), mode, ...address, queue];
    },
    payloads: [{ id: 1 }, 'plain text', { id: 2 }],
    refused: [NOT_JSON],
  },
];

/** As a handler sees it. */
interface Handled {
  readonly payload: unknown;
  readonly delivery: Delivery;
}

describe('a client in another language', () => {
  const faults = useFaults();
  let missing: string | undefined;
  beforeAll(async () => {
    missing = await missingPackages(PACKAGES);
  }, 240_000);

  async function run(client: Client, mode: 'publish' | 'read', queue: string): Promise<string> {
    const [file, ...args] = client.command(mode, new URL(faults.vhost.url), queue);
    const { stdout } = await exec(file as string, args, { timeout: 30_000 });
    return stdout;
  }

  /** Keeps what is handled, and why the rest is not. */
  async function consuming(
    queue: string,
  ): Promise<{ connection: RmqConnection; handled: Handled[]; refused: string[] }> {
    const [handled, refused]: [Handled[], string[]] = [[], []];
    const connection = faults.connect({ startup: 'wait' });
    connection.subscribe({ queue }, (payload, delivery) => void handled.push({ payload, delivery }));
    connection.on('delivery-dead-lettered', ({ cause }) => refused.push(String(cause?.message)));
    await connection.start();
    return { connection, handled, refused };
  }

  it.each(CLIENTS)('$name publishes, and a handler gets what it means', async (client) => {
    if (missing !== undefined)
      return noteDebianRow(`${client.name} publishes, we consume`, client.package, `not tried: ${missing}`);
    const { handled, refused } = await consuming('theirs');
    await run(client, 'publish', 'theirs');
    await until(
      'all have come',
      () => handled.length === client.payloads.length && refused.length >= client.refused.length,
    );
    expect(handled.map(({ payload }) => payload)).toEqual(client.payloads);
    for (const reason of client.refused) expect(refused).toContainEqual(expect.stringMatching(reason));

    const { delivery } = handled.find(({ delivery: { messageId } }) => messageId === 'm1') as Handled;
    expect(delivery.headers).toMatchObject({
      ...{ text: 'ü', int: 7, negative: -1, yes: true, list: [1, 'two'], table: { a: 1 } },
      // 2^53 + 1 on the wire: a number of JavaScript has no odd ones beyond 2^53.
      large: 2 ** 53,
    });
    expect(delivery.properties).toMatchObject({ correlationId: 'c1', type: 't1', appId: 'a1' });
    await noteDebianRow(`${client.name} publishes, we consume`, client.package);
  });

  it.each(CLIENTS)('$name reads what we publish', async (client) => {
    if (missing !== undefined)
      return noteDebianRow(`we publish, ${client.name} consumes`, client.package, `not tried: ${missing}`);
    const connection = faults.connect({ topology: { queues: [{ name: 'ours' }] } });
    const headers = { text: 'ü', int: 7, large: 2n ** 60n + 1n, yes: true, list: [1, 'two'], table: { a: 1 } };
    await connection.publisher.sendToQueue('ours', { id: 1, name: 'ü' }, { headers, messageId: 'm2' });
    const read = (await run(client, 'read', 'ours')).trim();
    // A number of 64 bits is more than JSON.parse() can read.
    expect(read).toContain('1152921504606846977');
    const message = JSON.parse(read) as { body: unknown; headers: Record<string, unknown> };
    expect(typeof message.body === 'string' ? JSON.parse(message.body) : message.body).toEqual({ id: 1, name: 'ü' });
    expect(message).toMatchObject({ contentType: 'application/json', messageId: 'm2', deliveryMode: 2 });
    expect(message.headers).toMatchObject({ text: 'ü', int: 7, yes: true, list: [1, 'two'], table: { a: 1 } });
    await noteDebianRow(`we publish, ${client.name} consumes`, client.package);
  });

  it('amqp-tools publishes and reads', async () => {
    if (missing !== undefined) return noteDebianRow('amqp-publish and amqp-get', 'amqp-tools', `not tried: ${missing}`);
    const { connection, handled, refused } = await consuming('theirs');
    const publish = ['--url', faults.vhost.url, '--routing-key', 'theirs', '--body'];
    await exec('amqp-publish', [...publish, '{"id":1}', '--header', 'tenant: acme']);
    await exec('amqp-publish', [...publish, 'plain text', '--content-type', 'text/plain']);
    await exec('amqp-publish', [...publish, 'plain text']);
    await until('all have come', () => handled.length === 2 && refused.length === 1);
    expect(handled.map(({ payload }) => payload)).toEqual([{ id: 1 }, 'plain text']);
    expect(handled[0]?.delivery.headers).toEqual({ tenant: 'acme' });
    expect(refused).toEqual([expect.stringMatching(NOT_JSON)]);
    await connection.declareTopology({ queues: [{ name: 'ours' }] });
    await connection.publisher.sendToQueue('ours', { id: 2 });
    const { stdout } = await exec('amqp-get', ['--url', faults.vhost.url, '--queue', 'ours']);
    expect(stdout).toBe('{"id":2}');
    await noteDebianRow('amqp-publish and amqp-get', 'amqp-tools');
  });

  it('control: text without a content type is handled where a codec takes it', async () => {
    if (missing !== undefined) return;
    const payloads: unknown[] = [];
    const connection = faults.connect({
      startup: 'wait',
      codec: {
        contentType: 'text/plain',
        encode: (payload) => ({ content: Buffer.from(String(payload)), contentType: 'text/plain' }),
        decode: (body) => body.toString('utf8'),
      },
    });
    connection.subscribe({ queue: 'theirs' }, (payload) => void payloads.push(payload));
    await connection.start();
    await run(CLIENTS[0] as Client, 'publish', 'theirs');
    await until('it is handled', () => payloads.length > 0);
    expect(payloads[0]).toBe('plain text');
  });
});
