/**
 * The heartbeat thread between a peer and a client that check every byte. The peer is no broker: it counts and compares.
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { RelayRequest } from '#engine/relay/shared/relay-messages.js';
import type { RelayPassage } from '#engine/relay/relay-passage.js';
import { Relay } from '#engine/relay/relay.js';
import { encodeContent, encodeMethod, HEARTBEAT_FRAME } from '../../tools/broker/amqp-codec.js';
import { FrameReader, PROTOCOL_HEADER } from '#testing/wire/amqp-frames.js';
import { seededRandom } from '../../tools/chaos/seeded-random.js';
import { staysTrue, until } from '../support/until.js';

interface Joined {
  peer: Socket;
  client: Socket;
  passage: RelayPassage;
}

const MESSAGES = 20_000;
const BIG_BYTES = 16 * 1024 * 1024;
const PIECES = 15_000;
const PIECE_BYTES = 8_192;
const SMALL_PIECE = Buffer.alloc(1_000, 5);

describe('the bytes through the heartbeat thread', () => {
  const relay = new Relay();
  let ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  /** A peer and a client with the thread in between, which sends a heartbeat whenever it can for a millisecond. */
  async function joined(dial: Partial<RelayRequest> = {}): Promise<Joined> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => closed(server));
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const share = relay.share();
    ends.push(() => share.release());
    const passage = await share.dial({ ...dialTo(server), ...dial }, new AbortController().signal);
    const client = connect({ path: passage.path, allowHalfOpen: true });
    await once(client, 'connect');
    const [peer] = await accepted;
    for (const socket of [peer, client]) {
      socket.on('error', () => undefined);
      ends.push(() => socket.destroy());
    }
    return { peer, client, passage };
  }

  it('reach the broker in their order, with heartbeats between frames only, whatever is written how', async () => {
    const { peer, client } = await joined();
    const got = framesOf(peer);
    const random = seededRandom(31);
    const sent = [PROTOCOL_HEADER, ...handshake()];
    client.write(Buffer.concat(sent));
    for (let message = 0; message < MESSAGES; message++) sent.push(...someMessage(random, message === MESSAGES / 2));
    const stream = Buffer.concat(sent.slice(4));
    for (let at = 0; at < stream.length;) {
      const size = 1 + Math.floor(random() * (random() < 0.5 ? 100 : 60_000));
      const isFull = !client.write(stream.subarray(at, at + size));
      at += size;
      // In the middle of a frame as a rule, and long enough for a heartbeat to be due.
      if (random() < 0.05) await new Promise((resolve) => setTimeout(resolve, 2));
      if (isFull && client.writableNeedDrain) await once(client, 'drain');
    }
    client.end();
    await once(peer, 'end');
    expect(got.reader.isLost).toBe(false);
    const injected = got.frames.filter((frame) => frame.equals(HEARTBEAT_FRAME)).length - countHeartbeats(sent);
    expect(injected).toBeGreaterThan(20);
    const without = got.frames.filter((frame) => !frame.equals(HEARTBEAT_FRAME));
    const wanted = sent.flatMap((part) => framesIn(part)).filter((frame) => !frame.equals(HEARTBEAT_FRAME));
    expect(without.length).toBe(wanted.length);
    expect(Buffer.concat(without).equals(Buffer.concat(wanted))).toBe(true);
  }, 60_000);

  it('reach us in their order, also when we read slowly, or not at all for a while', async () => {
    const { peer, client } = await joined();
    const random = seededRandom(32);
    const stream = Buffer.from(Uint8Array.from({ length: 3_000_000 }, () => Math.floor(random() * 256)));
    const received: Buffer[] = [];
    client.on('data', (chunk) => {
      received.push(chunk);
      if (random() > 0.1) return;
      client.pause();
      setTimeout(() => client.resume(), random() * 3);
    });
    for (let round = 0; round < 10; round++) {
      for (let at = 0; at < stream.length;) {
        const size = 1 + Math.floor(random() * (random() < 0.3 ? 50 : 200_000));
        const isFull = !peer.write(stream.subarray(at, at + size));
        at += size;
        if (isFull && peer.writableNeedDrain) await once(peer, 'drain');
      }
    }
    peer.end();
    await once(client, 'end');
    const all = Buffer.concat(received);
    expect(all.length).toBe(stream.length * 10);
    for (let round = 0; round < 10; round++)
      expect(all.subarray(round * stream.length, (round + 1) * stream.length).equals(stream)).toBe(true);
  }, 60_000);

  it('reach us in their order as fast as the broker writes, whatever piece they come in', async () => {
    const { peer, client } = await joined();
    const piece = Buffer.alloc(PIECE_BYTES, 9);
    const received: Buffer[] = [];
    client.on('data', (chunk: Buffer) => received.push(chunk));
    for (let index = 0; index < PIECES; index++) {
      const numbered = Buffer.from(piece);
      numbered.writeUInt32BE(index);
      if (!peer.write(numbered)) await once(peer, 'drain');
      await new Promise((resolve) => setImmediate(resolve));
    }
    peer.end();
    await once(client, 'end');
    const all = Buffer.concat(received);
    expect(all.length).toBe(PIECES * PIECE_BYTES);
    const numbers = Array.from({ length: PIECES }, (_, index) => all.readUInt32BE(index * PIECE_BYTES));
    expect(numbers.every((number, index) => number === index)).toBe(true);
  }, 60_000);

  it('reach us to the last one, also when a small piece was the first for which we had no room', async () => {
    const { peer, client } = await joined();
    let received = 0;
    client.on('data', (chunk: Buffer) => (received += chunk.length));
    let written = 0;
    for (let round = 0; round < 5; round++) {
      client.pause();
      for (let index = 0; index < 1_000; index++) {
        peer.write(SMALL_PIECE);
        written += SMALL_PIECE.length;
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.resume();
      await until('all of it has come', () => received === written);
    }
  }, 60_000);

  it('are taken from the broker up to a bound while we read nothing, and not a byte is lost', async () => {
    const { peer, client } = await joined();
    client.pause();
    const megabyte = Buffer.alloc(1024 * 1024, 7);
    let written = 0;
    while (peer.write(megabyte) || (await drains(peer))) written += 1;
    written += 1;
    // 32 MB of ours, and what fits into the sockets.
    expect(written).toBeGreaterThanOrEqual(32);
    expect(written).toBeLessThanOrEqual(48);
    let received = 0;
    client.on('data', (chunk: Buffer) => (received += chunk.length));
    client.resume();
    peer.end();
    await once(client, 'end');
    expect(received).toBe(written * megabyte.length);
  }, 60_000);

  it.each([
    { blockMs: 1_500, told: 'after a stall in which the thread was full, the stall', code: 'RMQ_EVENT_LOOP_BLOCKED' },
    { blockMs: 0, told: 'control: without one, the reset', code: 'ECONNRESET' },
  ])(
    'name the reason of a reset that is seen when all was read: $told',
    async ({ blockMs, code }) => {
      const { peer, client, passage } = await joined();
      const got = framesOf(peer);
      client.write(Buffer.concat([PROTOCOL_HEADER, ...handshake()]));
      await until('heartbeats come', () => got.frames.some((frame) => frame.equals(HEARTBEAT_FRAME)));
      client.pause();
      const megabyte = Buffer.alloc(1024 * 1024, 7);
      let written = 1;
      while (peer.write(megabyte) || (await drains(peer))) written += 1;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
      let received = 0;
      client.on('data', (chunk: Buffer) => (received += chunk.length));
      client.resume();
      await until('all is read', () => received === written * megabyte.length);
      peer.resetAndDestroy();
      await until('the link is lost', () => passage.isLost);
      const symptom = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
      expect(passage.errorBehind(symptom)).toMatchObject({ code });
    },
    60_000,
  );

  it('hold us up when the broker reads nothing', async () => {
    const { peer, client } = await joined();
    peer.pause();
    client.write(Buffer.concat([PROTOCOL_HEADER, ...handshake()]));
    const frame = encodeContent(1, {}, Buffer.alloc(100_000), 131_072);
    let written = 0;
    while (client.write(frame) || (await drains(client))) written += 1;
    expect(written * frame.length).toBeLessThan(16 * 1024 * 1024);
  }, 60_000);

  it('carry no heartbeat of the thread before connection.open, nor after connection.close', async () => {
    const { peer, client } = await joined();
    const got = framesOf(peer);
    const noHeartbeat = () => !got.frames.some((frame) => frame.equals(HEARTBEAT_FRAME));
    const [startOk, tuneOk, open] = handshake() as [Buffer, Buffer, Buffer];
    for (const part of [PROTOCOL_HEADER, startOk, tuneOk, open.subarray(0, -1)]) {
      client.write(part);
      await staysTrue('no heartbeat comes', noHeartbeat, 20);
    }
    client.write(open.subarray(-1));
    await until('heartbeats come', () => !noHeartbeat());
    client.write(encodeMethod('connection.close', 0, { replyCode: 200, replyText: '', classId: 0, methodId: 0 }));
    await until('the close has come', () => got.frames.at(-1)?.equals(HEARTBEAT_FRAME) === false);
    const count = got.frames.length;
    await staysTrue('no frame comes', () => got.frames.length === count, 50);
  });

  it('come through a door that only this user can open, once, and that is gone afterwards', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => closed(server));
    const share = relay.share();
    ends.push(() => share.release());
    const { path } = await share.dial(dialTo(server), new AbortController().signal);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const first = connect({ path });
    await once(first, 'connect');
    await until('the door is gone', () => !existsSync(dirname(path)));
    const [error] = (await once(connect({ path }), 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ENOENT');
    first.destroy();
    expect(readdirSync(tmpdir()).filter((name) => name === dirname(path).split('/').at(-1))).toEqual([]);
  });

  it('do not flow when the dial is given up at the door: the broker sees its end, and the door is gone', async () => {
    const server = createServer({ allowHalfOpen: false });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(() => closed(server));
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const share = relay.share();
    ends.push(() => share.release());
    const giveUp = new AbortController();
    const { path } = await share.dial(dialTo(server), giveUp.signal);
    const [peer] = await accepted;
    peer.on('error', () => undefined).resume();
    giveUp.abort(new Error('too late'));
    if (!peer.closed) await once(peer, 'close');
    await until('the door is gone', () => !existsSync(dirname(path)));
  });

  it('fail to flow for the original reason', async () => {
    const share = relay.share();
    ends.push(() => share.release());
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const dial = dialTo(server);
    await closed(server);
    await expect(share.dial(dial, new AbortController().signal)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      syscall: 'connect',
      port: dial.port,
    });
  });

  it('end with the reset of the broker, after what came before it', async () => {
    const { peer, client } = await joined();
    let received = '';
    client.setEncoding('utf8').on('data', (text) => (received += text));
    peer.write('the last words');
    await until('they have come', () => received === 'the last words');
    peer.resetAndDestroy();
    await once(client, 'end');
  });
});

function dialTo(server: Server): RelayRequest {
  return {
    host: '127.0.0.1',
    port: (server.address() as { port: number }).port,
    tls: null,
    timeoutMs: 5_000,
    pace: { sendAfterTimeouts: 0.5, sendWithinMs: 1, deadAfterTimeouts: 1.5 },
    maxStallMs: 60_000,
    onStallLimit: 'close',
  };
}

function handshake(): Buffer[] {
  const text = Buffer.from('guest');
  return [
    encodeMethod('connection.start-ok', 0, {
      clientProperties: {},
      mechanism: 'PLAIN',
      response: text,
      locale: 'en_US',
    }),
    encodeMethod('connection.tune-ok', 0, { channelMax: 0, frameMax: 131_072, heartbeat: 60 }),
    encodeMethod('connection.open', 0, { virtualHost: '/', capabilities: '', insist: false }),
  ];
}

/** A publish as amqplib writes it; its body may look like frames. */
function someMessage(random: () => number, isBig: boolean): Buffer[] {
  const publish = encodeMethod('basic.publish', 1, {
    ticket: 0,
    exchange: '',
    routingKey: 'q',
    mandatory: false,
    immediate: false,
  });
  const lures = [
    HEARTBEAT_FRAME,
    encodeMethod('connection.close-ok', 0, {}),
    PROTOCOL_HEADER,
    Buffer.from([0xce, 0xce]),
  ];
  const lure = lures[Math.floor(random() * lures.length)]!;
  const body = Buffer.alloc(
    isBig ? BIG_BYTES : 1 + Math.floor(random() * (random() < 0.9 ? 300 : 200_000) * 0.3),
    lure,
  );
  const parts = [publish, encodeContent(1, {}, body, 131_072)];
  if (random() < 0.1) parts.push(HEARTBEAT_FRAME);
  return parts;
}

function framesIn(bytes: Buffer): Buffer[] {
  let start = 0;
  return new FrameReader().read(bytes).map(({ end }) => bytes.subarray(start, (start = end)));
}

/** Every frame that `socket` gets, whole. */
function framesOf(socket: Socket): { frames: Buffer[]; reader: FrameReader } {
  const reader = new FrameReader();
  const frames: Buffer[] = [];
  let rest: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    let start = 0;
    for (const { end } of reader.read(chunk)) {
      frames.push(Buffer.concat([...rest, chunk.subarray(start, end)]));
      rest = [];
      start = end;
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  });
  return { frames, reader };
}

function countHeartbeats(parts: readonly Buffer[]): number {
  return parts.filter((part) => part.equals(HEARTBEAT_FRAME)).length;
}

async function closed(server: Server): Promise<void> {
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}

/** Whether what was written goes out within a second. */
async function drains(stream: Socket): Promise<boolean> {
  let isFull = true;
  stream.once('drain', () => (isFull = false));
  return staysTrue('it is full', () => isFull, 1_000, { everyMs: 1 }).then(
    () => false,
    () => true,
  );
}
