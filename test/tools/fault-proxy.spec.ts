import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChannelModel, connect as connectAmqp } from 'amqplib';
import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { until } from '../support/until.js';

/** A TCP client that remembers what happened to it. */
class Client {
  received = Buffer.alloc(0);
  chunks = 0;
  ending?: 'fin' | 'reset' | 'refused';

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.chunks++;
    });
    socket.on('end', () => (this.ending = 'fin'));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ending = error.code === 'ECONNREFUSED' ? 'refused' : 'reset';
    });
  }

  get text(): string {
    return this.received.toString();
  }
}

let echo: Server;
let atServer: Client[];
let proxy: FaultProxy;
let clients: Client[];

async function open(): Promise<Client> {
  const client = new Client(connect({ port: proxy.port, host: '127.0.0.1', noDelay: true }));
  clients.push(client);
  await Promise.race([once(client.socket, 'connect'), once(client.socket, 'close')]).catch(() => undefined);
  return client;
}

/** A client that has already exchanged a byte, so that the whole link is known to stand. */
async function openLink(): Promise<Client> {
  const client = await open();
  client.socket.write('.');
  await until('the first byte comes back', () => client.text === '.');
  client.received = Buffer.alloc(0);
  return client;
}

beforeEach(async () => {
  atServer = [];
  clients = [];
  echo = createServer({ noDelay: true }, (socket) => {
    atServer.push(new Client(socket));
    socket.pipe(socket);
  });
  const port = await findFreePort();
  echo.listen(port, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await FaultProxy.start({ port });
});

afterEach(async () => {
  for (const { socket } of clients) socket.destroy();
  await proxy.close();
  echo.close();
});

describe('a fault proxy in good health', () => {
  it('forwards both ways, however much', async () => {
    const client = await openLink();
    const bytes = Buffer.alloc(3_000_000, 'abcdefg');
    client.socket.write(bytes);
    await until('all bytes came back', () => client.received.length === bytes.length);
    expect(client.received.equals(bytes)).toBe(true);
    expect(proxy.links).toMatchObject([{ id: 1, clientPort: client.socket.localPort, bytesToBroker: 3_000_001 }]);
  });

  it('passes on the end of a stream and forgets the link', async () => {
    const client = await openLink();
    client.socket.end('bye');
    await until('the server answered and closed', () => client.ending === 'fin');
    expect(client.text).toBe('bye');
    await until('the link is gone', () => proxy.links.length === 0);
  });

  it('resets the client when the broker resets, or is not there', async () => {
    const client = await openLink();
    atServer[0]!.socket.resetAndDestroy();
    await until('the client saw a reset', () => client.ending === 'reset');

    echo.close();
    const late = await open();
    await until('the late client saw a reset', () => late.ending === 'reset');
  });

  it('puts itself into a broker address', () => {
    expect(proxy.url('amqp://user:p%40ss@broker.example:5672/my%2Fvhost?heartbeat=5')).toBe(
      `amqp://user:p%40ss@127.0.0.1:${proxy.port}/my%2Fvhost?heartbeat=5`,
    );
  });
});

describe('a silent link', () => {
  it.each(['to-broker', 'to-client', 'both'] as const)(
    'loses what is sent %s and keeps both sockets open',
    async (direction) => {
      const client = await openLink();
      proxy.silence(direction);
      client.socket.write('lost');
      await until('the proxy took the bytes', () => proxy.links[0]!.bytesToBroker === 5);
      if (direction === 'to-client') await until('the server saw them', () => atServer[0]!.text.endsWith('lost'));
      else expect(atServer[0]!.text).toBe('.');

      atServer[0]!.socket.write('lost too');
      await until('the proxy took the answer', () => proxy.links[0]!.bytesToClient >= 9);
      if (direction === 'to-broker') await until('the client saw it', () => client.text === 'lost too');
      else expect(client.text).toBe('');
      expect([client.ending, atServer[0]!.ending]).toEqual([undefined, undefined]);
    },
  );

  it('hides from the client that the broker has gone', async () => {
    const client = await openLink();
    proxy.silence();
    atServer[0]!.socket.resetAndDestroy();
    await until('the server has gone', () => atServer[0]!.socket.destroyed);
    client.socket.write('anyone there?');
    await until('the proxy took the bytes', () => proxy.links[0]!.bytesToBroker > 1);
    expect(client.ending).toBeUndefined();
  });

  it('is reset when the proxy heals, and only a link that lost something is', async () => {
    const untouched = await openLink();
    const unlucky = await openLink();
    proxy.silence('to-broker');
    unlucky.socket.write('lost');
    await until('the proxy took the bytes', () => proxy.links[1]!.bytesToBroker === 5);
    proxy.heal();
    await until('the unlucky link was reset', () => unlucky.ending === 'reset');
    untouched.socket.write('still here');
    await until('the other link works', () => untouched.text === 'still here');
  });
});

describe('a frozen link', () => {
  it('delivers everything after the thaw', async () => {
    const client = await openLink();
    proxy.freeze();
    client.socket.write('later');
    const newcomer = await open();
    newcomer.socket.write('later too');
    await until('the newcomer is accepted', () => proxy.links.length === 2);
    expect([client.text, newcomer.text]).toEqual(['', '']);
    proxy.thaw();
    await until('both are answered', () => client.text === 'later' && newcomer.text === 'later too');
  });
});

describe('an ended link', () => {
  it('is a reset for both sides, or for one', async () => {
    const client = await openLink();
    proxy.reset();
    await until('both saw a reset', () => client.ending === 'reset' && atServer[0]!.ending === 'reset');

    const second = await openLink();
    proxy.reset('client');
    await until('the client saw a reset', () => second.ending === 'reset');
    await until('the server saw the end', () => atServer[1]!.ending === 'fin');
  });

  it('is the end of the stream for both sides after fin()', async () => {
    const client = await openLink();
    proxy.fin();
    await until('both saw the end', () => client.ending === 'fin' && atServer[0]!.ending === 'fin');
  });
});

describe('the door', () => {
  it('refuses new links and keeps old ones, until it is opened again on the same port', async () => {
    const old = await openLink();
    await proxy.refuse();
    expect((await open()).ending).toBe('refused');
    old.socket.write('still open');
    await until('the old link works', () => old.text === 'still open');
    await proxy.accept();
    await openLink();
    expect(proxy.acceptedLinks).toBe(2);
  });

  it('can accept and never say a word', async () => {
    proxy.hangNew();
    const client = await open();
    client.socket.write('hello?');
    await until('the link is accepted', () => proxy.links.length === 1);
    expect(atServer).toHaveLength(0);
    proxy.heal();
    await until('the hanging link was reset', () => client.ending === 'reset');
    await openLink();
  });
});

describe('a cut', () => {
  it.each([
    ['rst', 'reset'],
    ['fin', 'fin'],
    ['silence', undefined],
  ] as const)('of kind %s comes after the exact byte', async (kind, ending) => {
    const client = await openLink();
    proxy.cutAfter(5, 'to-client', kind);
    client.socket.write('123456789');
    await until('five bytes have come', () => client.text.length >= 5);
    if (ending) await until('the client saw the cut', () => client.ending === ending);
    await until('the server got all', () => atServer[0]!.text === '.123456789');
    expect([client.text, client.ending]).toEqual(['12345', ending]);
  });

  it('spares the links after the one it hit', async () => {
    proxy.cutAfter(3, 'to-broker', 'rst');
    const first = await open();
    expect(proxy.isDamagePending).toBe(true);
    first.socket.write('123456789');
    await until('the first was cut', () => first.ending === 'reset');
    expect(proxy.isDamagePending).toBe(false);
    expect(atServer[0]!.text).toBe('123');
    const second = await openLink();
    second.socket.write('123456789');
    await until('the second works', () => second.text === '123456789');
  });
});

describe('a bad line', () => {
  it('inverts one byte and no other', async () => {
    const client = await openLink();
    proxy.corruptNextByte('to-client', 2);
    expect(proxy.isDamagePending).toBe(true);
    client.socket.write('aaaa');
    await until('four bytes have come', () => client.received.length === 4);
    expect(proxy.isDamagePending).toBe(false);
    client.socket.write('bb');
    await until('six bytes have come', () => client.received.length === 6);
    expect([...client.received]).toEqual([0x61, 0x61, 0x61 ^ 0xff, 0x61, 0x62, 0x62]);
  });

  it('delays every byte by its latency, in order', async () => {
    const client = await openLink();
    proxy.latency(60, 'to-broker');
    const startedAt = performance.now();
    client.socket.write('first ');
    client.socket.write('second');
    await until('the answer came', () => client.text === 'first second', { everyMs: 1 });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(59);
  });

  it('lets through so many bytes a second, and all at once when healed', async () => {
    const client = await openLink();
    proxy.rate(2_000, 'to-client');
    const startedAt = performance.now();
    client.socket.write(Buffer.alloc(1_000, 'r'));
    await until('600 bytes have come', () => client.received.length >= 600, { everyMs: 1 });
    const seconds = (performance.now() - startedAt) / 1_000;
    expect(client.received.length / seconds).toBeLessThan(3_000);

    client.socket.write(Buffer.alloc(1_000_000, 'h'));
    proxy.heal();
    await until('all bytes have come', () => client.received.length === 1_001_000, { timeoutMs: 10_000 });
  });

  it('delivers byte by byte', async () => {
    const client = await openLink();
    proxy.oneByteChunks('to-broker');
    client.socket.write('one by one');
    await until('the server got all', () => atServer[0]!.text === '.one by one');
    expect(atServer[0]!.chunks).toBeGreaterThan(3);
  });
});

describe('the recorder', () => {
  let broker: ScriptedBroker;
  let amqp: FaultProxy;
  let connection: ChannelModel;

  beforeEach(async () => {
    broker = await ScriptedBroker.start({ tune: { heartbeat: 1 } });
    amqp = await FaultProxy.start({ port: broker.port });
    connection = await connectAmqp(amqp.url(broker.url), { noDelay: true });
    connection.on('error', () => undefined);
  });

  afterEach(async () => {
    const closed = new Promise((resolve) => connection.once('close', resolve));
    amqp.reset();
    await closed;
    await amqp.close();
    await broker.close();
  });

  it('knows each frame, its direction and its instant', async () => {
    const channel = await connection.createChannel();
    await channel.consume('orders', () => undefined);
    expect(amqp.recorder.frames({ direction: 'to-broker' })[0]!.type).toBe('protocol-header');
    expect(amqp.recorder.methods({ channel: 1 })).toEqual([
      ...['channel.open', 'channel.open-ok', 'basic.consume', 'basic.consume-ok'],
    ]);
    const [asked, answered] = amqp.recorder.frames({ channel: 1 }).slice(-2);
    expect(asked).toMatchObject({ direction: 'to-broker', method: 'basic.consume', link: 1, isDelivered: true });
    expect(answered!.at).toBeGreaterThanOrEqual(asked!.at);
  });

  it('measures the longest gap, the one that lasts included', async () => {
    const from = performance.now();
    await amqp.onceFrame(({ type, direction }) => type === 'heartbeat' && direction === 'to-broker');
    await until('the next silence has begun', () => performance.now() - from > 1_100);
    const beats = amqp.recorder.frames({ direction: 'to-broker', type: 'heartbeat', from });
    expect(beats.length).toBeGreaterThan(0);
    const to = performance.now();
    const borders = [from, ...beats.map(({ at }) => at), to];
    const gaps = borders.slice(1).map((at, i) => ({ milliseconds: at - borders[i]!, startedAt: borders[i]! }));
    const [longest] = gaps.toSorted((a, b) => b.milliseconds - a.milliseconds);
    expect(amqp.recorder.longestGap('to-broker', { from, to })).toEqual(longest);
    await until('the silence lasts', () => performance.now() - to > 20);
    const ongoing = amqp.recorder.longestGap('to-broker', { from: Math.max(to, amqp.recorder.frames().at(-1)!.at) });
    expect(ongoing.milliseconds).toBeGreaterThan(0);
    expect(ongoing.milliseconds).toBeLessThanOrEqual(performance.now() - to);
  });

  it('lets a test act just after a frame has passed', async () => {
    const channel = await connection.createChannel();
    const asked = amqp.onceFrame(
      ({ method }) => method === 'basic.consume',
      () => amqp.silence('to-client'),
    );
    let isAttached = false;
    void channel
      .consume('orders', () => undefined)
      .then(
        () => (isAttached = true),
        () => undefined,
      );
    await asked;
    await until('the broker answered into the void', () =>
      amqp.recorder
        .frames({ method: 'basic.consume-ok', direction: 'to-client' })
        .some(({ isDelivered }) => !isDelivered),
    );
    expect(broker.lastSession.methods.at(-1)).toBe('basic.consume');
    expect(isAttached).toBe(false);
  });
});
