import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import { chooseBroker, type BrokerWishes, type ChosenBroker } from '../../apps/demo/src/choose-broker.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { PrivateBroker } from '#testing/real/private-broker.js';
import { DemoProcess } from '../support/children/demo-process.js';
import { until } from '../support/until.js';

describe('the broker of the demo', () => {
  const folder = mkdtempSync(join(tmpdir(), 'demo-broker-'));
  const said: string[] = [];
  let local: PrivateBroker;
  beforeAll(async () => {
    local = await PrivateBroker.start();
  }, 60_000);
  afterAll(async () => {
    await local.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });

  const choose = async (wishes: Partial<BrokerWishes>): Promise<ChosenBroker> => {
    said.length = 0;
    return chooseBroker({ urls: [], dataDir: join(folder, 'data'), say: (sentence) => said.push(sentence), ...wishes });
  };

  it('is the one of RMQ_URLS, if that is set, without showing it', async () => {
    const urls = ['amqp://clerk:secret@a', 'amqp://clerk:secret@b'];
    const chosen = await choose({ urls, localPort: local.port });
    expect(chosen.urls).toEqual(urls);
    expect(chosen.sentence).toBe('Using the broker of RMQ_URLS (the 2 addresses given there).');
    await chosen.stop();
  });

  it('is one that runs on this machine and lets guest in, and is left running', async () => {
    const chosen = await choose({ localPort: local.port });
    expect(chosen.urls).toEqual([`amqp://guest:guest@localhost:${local.port}`]);
    expect(chosen.sentence).toBe(`Using the broker that runs on localhost:${local.port}.`);
    await chosen.stop();
    expect(local.isRunning).toBe(true);
    expect(said).toEqual([]);
    await until('the probe is gone', async () => (await local.listConnections()).length === 0);
  });

  it('is a private one else, and says so', async () => {
    const localPort = await findFreePort('127.0.0.1');
    const chosen = await choose({ localPort });
    expect(said[0]).toContain(`No broker lets guest in on localhost:${localPort}`);
    expect(chosen.sentence).toMatch(/^Using a private RabbitMQ \d+\.\d+\.\d+ on 127\.0\.0\.1:\d+, with its data in /);
    await chosen.stop();
  }, 60_000);

  it('is a private one where something accepts connections and says nothing, or says no', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await until('it listens', () => silent.listening);
    const { port } = silent.address() as { port: number };
    const beside = await choose({ localPort: port });
    expect(beside.sentence).toContain('Using a private RabbitMQ');
    await beside.stop();
    silent.close();
  }, 60_000);

  it('keeps what a private one was given from one run to the next', async () => {
    const wishes = {
      localPort: await findFreePort('127.0.0.1'),
      dataDir: join(mkdtempSync(join(folder, 'run-')), 'data'),
    };
    const first = await choose(wishes);
    const before = await connect(first.urls[0]!);
    const channel = await before.createConfirmChannel();
    await channel.assertQueue('orders');
    channel.sendToQueue('orders', Buffer.from('tea'), { persistent: true });
    await channel.waitForConfirms();
    await before.close();
    await first.stop();

    const second = await choose(wishes);
    const after = await connect(second.urls[0]!);
    expect(await (await after.createChannel()).checkQueue('orders')).toMatchObject({ messageCount: 1 });
    await after.close();
    await second.stop();
  }, 90_000);

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with the demo that started it, on %s',
    async (signal) => {
      const demo = await DemoProcess.launch({}, mkdtempSync(join(folder, 'run-')));
      await demo.untilOpen();
      await until('it is ready', async () => (await demo.get('/health/ready')).code === 200);
      expect((await demo.post('/orders', { item: 'tea', quantity: 1 })).code).toBe(202);
      const port = /on 127\.0\.0\.1:(\d+), with its data in .*\.rabbitmq/.exec(demo.output)?.[1];
      expect(await demo.kill(signal)).toEqual({ exitCode: 0, signal: null });
      await expect(connect(`amqp://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await demo.dispose();
    },
    60_000,
  );

  it('cannot be had: then the demo says so in one sentence, with the way out, and exits with 1', async () => {
    const bare = mkdtempSync(join(folder, 'run-'));
    const demo = await DemoProcess.launch({ PATH: bare, RMQ_BROKER_CACHE: join(bare, 'cache') }, bare);
    expect(await demo.ended).toEqual({ exitCode: 1, signal: null });
    const [, sentence, ...rest] = demo.output.trim().split('\n');
    expect(sentence).toMatch(/No RabbitMQ .* could be had: .*set RMQ_URLS/);
    expect(rest).toEqual([]);
    await demo.dispose();
  });
});
