import { afterEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { obtainRabbitMq } from '#testing/provision/obtain-rabbitmq.js';

describe('obtaining RabbitMQ', () => {
  it('takes the second one from the cache, without a word', async () => {
    const first = await obtainRabbitMq({ version: '4.0' });
    const said: string[] = [];
    const second = await obtainRabbitMq({ version: '4.0', onProgress: (sentence) => said.push(sentence) });
    expect(second).toEqual(first);
    expect(second.version).toMatch(/^4\.0\./);
    expect(said).toEqual([]);
    expect(existsSync(join(second.serverHome, 'plugins'))).toBe(true);
  }, 120_000);
});

describe('where RabbitMQ cannot be obtained', () => {
  const path = process.env['PATH'];
  let cacheDir: string;

  afterEach(async () => {
    process.env['PATH'] = path;
    await rm(cacheDir, { recursive: true, force: true });
  });

  it('says why, and names the ways out', async () => {
    cacheDir = await mkdtemp(join(tmpdir(), 'rmq-cache-'));
    process.env['PATH'] = '/nowhere';
    const failure = await obtainRabbitMq({ version: '4.0', cacheDir }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(BrokerUnavailableError);
    expect((failure as Error).message).toMatch(
      /^No RabbitMQ 4\.0 could be had: .*\. Install RabbitMQ, run Docker, or set RMQ_URLS/,
    );
    expect(await readdir(cacheDir)).toEqual([]);
  });
});
