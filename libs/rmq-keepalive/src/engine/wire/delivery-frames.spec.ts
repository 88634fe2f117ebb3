import { describe, expect, it } from '@jest/globals';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ReceivedProperties } from './received-properties.js';
import { readDeliveriesOf } from './delivery-frames.js';

const CHANNEL = 7;
const BASIC_CLASS = 60;
const HEADERS_FLAG = 0x2000;

function frame(payload: Buffer, type = 2, end = 0xce): Buffer {
  const preamble = Buffer.alloc(7);
  preamble.writeUInt8(type, 0);
  preamble.writeUInt16BE(CHANNEL, 1);
  preamble.writeUInt32BE(payload.length, 3);
  return Buffer.concat([preamble, payload, Buffer.from([end])]);
}

/** Of a body of 42 bytes, with these properties behind their flags. */
function contentHeader(flags = 0, properties: Buffer = Buffer.alloc(0), classId = BASIC_CLASS): Buffer {
  const fixed = Buffer.alloc(14);
  fixed.writeUInt16BE(classId, 0);
  fixed.writeBigUInt64BE(42n, 4);
  fixed.writeUInt16BE(flags, 12);
  return Buffer.concat([fixed, properties]);
}

/** The method's number, and these arguments. */
function deliver(args: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, 60, 0, 60]), args]);
}

/** A delivery tag, and the octet of `redelivered`. */
const TAG = [0, 0, 0, 1, 0, 0, 0, 2, 1] as const;

function table(...fields: Buffer[]): Buffer {
  const bytes = Buffer.concat(fields);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function field(name: string, type: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(name)]), Buffer.from(name), Buffer.from(type), value]);
}

function bytes(size: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(size);
  write(buffer);
  return buffer;
}

/** Stands for amqplib's connection: says what it was left to read. */
function source(unread: Buffer, maxInboundBytes = 1_000) {
  const connection: { rest: Buffer; recvFrame: () => unknown } = {
    rest: unread,
    recvFrame: (): unknown => `left to amqplib: ${connection.rest.length} bytes`,
  };
  readDeliveriesOf(connection, maxInboundBytes);
  return connection;
}

function received(flags: number, properties: Buffer): ReceivedProperties {
  return (source(frame(contentHeader(flags, properties))).recvFrame() as { fields: ReceivedProperties }).fields;
}

const headersOf = (...fields: Buffer[]): unknown => received(HEADERS_FLAG, table(...fields)).headers;
const INT64 = (value: bigint): Buffer => bytes(8, (buffer) => buffer.writeBigInt64BE(value));

describe('a header of every type', () => {
  it.each<[string, string, Buffer, unknown]>([
    ['8 bits', 'b', Buffer.from([0xff]), -1],
    ['8 bits without a sign', 'B', Buffer.from([0xff]), 255],
    ['16 bits', 's', Buffer.from([0xff, 0xfe]), -2],
    ['16 bits without a sign', 'u', Buffer.from([0xff, 0xfe]), 65_534],
    ['32 bits', 'I', Buffer.from([0xff, 0xff, 0xff, 0xfd]), -3],
    ['32 bits without a sign', 'i', Buffer.from([0xff, 0xff, 0xff, 0xfd]), 2 ** 32 - 3],
    ['64 bits', 'l', INT64(-(2n ** 40n)), -(2 ** 40)],
    ["64 bits, Python's way", 'L', INT64(2n ** 31n), 2 ** 31],
    ["negative 64 bits, Python's way", 'L', INT64(-(2n ** 31n) - 1n), -(2 ** 31) - 1],
    ['more than a number can tell apart', 'l', INT64(2n ** 60n + 1n), 2 ** 60],
    ['float', 'f', bytes(4, (buffer) => buffer.writeFloatBE(1.5)), 1.5],
    ['double', 'd', bytes(8, (buffer) => buffer.writeDoubleBE(-0.1)), -0.1],
    ['decimal', 'D', Buffer.from([2, 0, 0, 0, 125]), { '!': 'decimal', value: { places: 2, digits: 125 } }],
    [
      'negative decimal',
      'D',
      Buffer.from([2, 0xff, 0xff, 0xff, 131]),
      { '!': 'decimal', value: { places: 2, digits: -125 } },
    ],
    ['timestamp', 'T', INT64(1_700_000_000n), { '!': 'timestamp', value: 1_700_000_000 }],
    ['true', 't', Buffer.from([1]), true],
    ['false', 't', Buffer.from([0]), false],
    ['nothing', 'V', Buffer.alloc(0), null],
    ['text', 'S', Buffer.concat([bytes(4, (buffer) => buffer.writeUInt32BE(5)), Buffer.from('ä€')]), 'ä€'],
    ['bytes', 'x', Buffer.from([0, 0, 0, 2, 0, 255]), Buffer.from([0, 255])],
    ['array', 'A', table(Buffer.from('V'), Buffer.from('t\x01')), [null, true]],
    ['table', 'F', table(field('inner', 'L', INT64(7n))), { inner: 7 }],
  ])('is read: %s', (_, type, value, expected) => {
    const after = field('after', 'V', Buffer.alloc(0));
    expect(headersOf(field('it', type, value), after)).toEqual({ it: expected, after: null });
  });

  it('is left out when it would become the prototype of the headers', () => {
    const headers = headersOf(field('__proto__', 'F', table(field('isAdmin', 't', Buffer.from([1])))));
    expect(headers).toEqual({});
    expect((headers as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });
});

const require = createRequire(import.meta.url);
const amqplib = (file: string): unknown => require(join(dirname(require.resolve('amqplib')), 'lib', file));
const { decode, BasicDeliver, encodeMethod } = amqplib('defs.js') as {
  BasicDeliver: number;
  decode(id: number, buffer: Buffer): unknown;
  encodeMethod(id: number, channel: number, fields: object): Buffer;
};
const { parseFrame, decodeFrame, HEARTBEAT_BUF } = amqplib('frame.js') as {
  HEARTBEAT_BUF: Buffer;
  parseFrame(bytes: Buffer, max?: number): { rest: Buffer<ArrayBuffer> } | false;
  decodeFrame(frame: object): unknown;
};

describe('the frames of deliveries', () => {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)]);
  const delivery = (deliveryTag: number, routingKey: string, redelivered = false): Buffer => {
    const fields = { consumerTag: 'tag', deliveryTag, redelivered, exchange: 'shop', routingKey };
    const method = encodeMethod(BasicDeliver, CHANNEL, fields);
    return Buffer.concat([method, frame(contentHeader(0x0080, text('m'))), frame(Buffer.alloc(42, deliveryTag), 3)]);
  };
  const STREAM = Buffer.concat([
    delivery(1, 'order.created'),
    delivery(2, 'order.created', true),
    HEARTBEAT_BUF,
    delivery(2 ** 40, 'order.deleted'),
    // As long as the one before, one letter of two bytes among them.
    delivery(4, 'order.delete\u00e4'),
    delivery(5, 'order.delet\u00e4'),
    delivery(6, ''),
    HEARTBEAT_BUF,
    HEARTBEAT_BUF,
  ]);

  /** All frames, where the bytes come in these pieces; with amqplib's own way of reading what is left to it. */
  function framesOf(pieces: Buffer[], isWrapped = true): unknown[] {
    const connection = {
      rest: Buffer.alloc(0),
      recvFrame(): unknown {
        const next = parseFrame(connection.rest);
        if (next) {
          connection.rest = next.rest;
          return decodeFrame(next);
        }
        const incoming = pieces.shift();
        if (incoming === undefined) return false;
        connection.rest = Buffer.concat([connection.rest, incoming]);
        return connection.recvFrame();
      },
    };
    if (isWrapped) readDeliveriesOf(connection, 1_000);
    const frames: unknown[] = [];
    for (let next = connection.recvFrame(); next; next = connection.recvFrame()) frames.push(plain(next));
    return frames;
  }

  /** Properties of a class of our own are compared by value. */
  const plain = (received: unknown): unknown => {
    const { fields } = received as { fields?: object };
    return fields === undefined ? received : { ...(received as object), fields: { ...fields } };
  };

  it('are read as amqplib reads them', () => {
    const read = framesOf([STREAM]);
    expect(read).toHaveLength(6 * 3 + 3);
    expect(read).toEqual(framesOf([STREAM], false));
  });

  it('are the same wherever the bytes are cut', () => {
    const whole = framesOf([STREAM], false);
    for (let cut = 1; cut < STREAM.length; cut++)
      expect(framesOf([STREAM.subarray(0, cut), STREAM.subarray(cut)])).toEqual(whole);
    expect(framesOf([...STREAM].map((byte) => Buffer.from([byte])))).toEqual(whole);
  });

  it('have the text that was sent, also when it is no UTF-8 and the one before looks like it', () => {
    const keys = [Buffer.from('\u00e4'), Buffer.from([0xe4]), Buffer.from([0xe4]), Buffer.from('a')];
    const frames = keys.map((key) => frame(deliver(Buffer.from([0, ...TAG, 0, key.length, ...key])), 1));
    const read = framesOf(frames) as { fields: { routingKey: string } }[];
    expect(read.map(({ fields }) => fields.routingKey)).toEqual(['\u00e4', '\ufffd', '\ufffd', 'a']);
  });
});

describe('all properties', () => {
  const SHORT_STRING = Buffer.from('\x02ab', 'latin1');
  const PROPERTIES: readonly [number, Buffer][] = [
    [0x8000, SHORT_STRING],
    [0x4000, SHORT_STRING],
    [HEADERS_FLAG, table(field('a', 'V', Buffer.alloc(0)))],
    [0x1000, Buffer.from([2])],
    [0x0800, Buffer.from([9])],
    ...[0x0400, 0x0200, 0x0100, 0x0080].map((flag): [number, Buffer] => [flag, SHORT_STRING]),
    [0x0040, INT64(1_700_000_000n)],
    ...[0x0020, 0x0010, 0x0008, 0x0004].map((flag): [number, Buffer] => [flag, SHORT_STRING]),
  ];

  it.each([
    ['together', PROPERTIES],
    ...PROPERTIES.map((one): [string, readonly (readonly [number, Buffer])[]] => [
      `0x${one[0].toString(16)} alone`,
      [one],
    ]),
    ['none', []],
  ] as const)('are read as amqplib reads them: %s', (_, those) => {
    const flags = those.reduce((sum, [flag]) => sum + flag, 0);
    const behind = Buffer.concat(those.map(([, value]) => value));
    const flagsAndProperties = contentHeader(flags, behind).subarray(12);
    expect(Object.assign({}, received(flags, behind))).toEqual(decode(BASIC_CLASS, flagsAndProperties));
  });

  it('go with channel and size, and what comes behind them stays', () => {
    const connection = source(Buffer.concat([frame(contentHeader()), Buffer.from('rest')]));
    expect(connection.recvFrame()).toMatchObject({ id: BASIC_CLASS, channel: CHANNEL, size: 42 });
    expect(connection.recvFrame()).toBe('left to amqplib: 4 bytes');
    expect(connection.rest.toString()).toBe('rest');
  });
});

describe('a message whose headers cannot be read', () => {
  const deep = (levels: number): Buffer =>
    levels === 0 ? field('x', 'V', Buffer.alloc(0)) : field('', 'F', table(deep(levels - 1)));

  it.each<[string, Buffer, RegExp]>([
    ['nested too deep', table(deep(300)), /headers .* nested more than 256 levels/],
    ['of a type that nobody knows', table(field('a', '?', Buffer.alloc(0))), /type \("\?"\)/],
    ['of no printable type', table(field('a', '\x01', Buffer.alloc(0))), /type \(byte 1\)/],
    ['a text longer than the table', table(field('a', 'S', Buffer.from([0, 0, 1, 0]))), /beyond their end/],
    ['a table longer than the one it is in', table(field('a', 'F', Buffer.from([0, 0, 1, 0]))), /beyond their end/],
    ['a number cut off', table(field('a', 'l', Buffer.from([0]))), /beyond their end/],
    ['a name cut off', table(Buffer.from([9])), /beyond their end/],
    ['a flag cut off', table(field('a', 't', Buffer.alloc(0))), /beyond their end/],
  ])('says so, and keeps its other properties: %s', (_, headers, why) => {
    const messageId = Buffer.from('\x01m', 'latin1');
    const properties = received(HEADERS_FLAG | 0x0080, Buffer.concat([headers, messageId]));
    expect(properties).toMatchObject({ headers: {}, messageId: 'm' });
    expect(ReceivedProperties.faultOf(properties)).toMatch(why);
  });

  it.each<[string, number, Buffer]>([
    ['a table longer than its frame', HEADERS_FLAG, Buffer.from([0, 0, 1, 0])],
    ['a text longer than its frame', 0x8000, Buffer.from([9])],
    ['a number cut off', 0x0040, Buffer.from([1])],
  ])('says so of other properties too: %s', (_, flags, behind) => {
    expect(ReceivedProperties.faultOf(received(flags, behind))).toMatch(/properties .* cannot be read/);
  });

  it('does not say so of one that can be read', () => {
    expect(ReceivedProperties.faultOf(received(0, Buffer.alloc(0)))).toBeUndefined();
    expect(ReceivedProperties.faultOf({})).toBeUndefined();
  });
});

describe('a message that is larger than allowed', () => {
  const body = (size: number): Buffer => frame(Buffer.alloc(size), 3);
  const messageId = Buffer.from('\x01m', 'latin1');
  /** Announces 42 bytes. */
  const header = frame(contentHeader(0x0080, messageId));

  it('comes without its body, once that is over, and says so', () => {
    const connection = source(Buffer.concat([header, body(20), body(21)]), 41);
    expect(connection.recvFrame()).toBe('left to amqplib: 0 bytes');
    connection.rest = Buffer.concat([body(1), Buffer.from('rest')]);
    const empty = connection.recvFrame() as { fields: ReceivedProperties };
    expect(empty).toMatchObject({ id: BASIC_CLASS, channel: CHANNEL, size: 0, fields: { messageId: 'm' } });
    expect(ReceivedProperties.lostBodyOf(empty.fields)).toEqual({ bytes: 42, maxBytes: 41 });
    expect(connection.recvFrame()).toBe('left to amqplib: 4 bytes');
  });

  it('costs the others on the link nothing: their bodies are whole, and so are those behind it', () => {
    const ofAnother = body(30);
    ofAnother.writeUInt16BE(CHANNEL + 1, 1);
    const connection = source(Buffer.concat([header, ofAnother]), 41);
    expect(connection.recvFrame()).toEqual({ channel: CHANNEL + 1, content: Buffer.alloc(30) });
    connection.rest = Buffer.concat([body(42), body(5)]);
    expect(connection.recvFrame()).toMatchObject({ size: 0 });
    expect(connection.recvFrame()).toEqual({ channel: CHANNEL, content: Buffer.alloc(5) });
  });

  it('is forgotten when its channel begins another one', () => {
    const connection = source(Buffer.concat([header, body(20), frame(contentHeader()), body(42)]), 41);
    const after = source(Buffer.concat([header, body(20), header]), 41);
    expect(after.recvFrame()).toBe('left to amqplib: 0 bytes');
    expect(connection.recvFrame()).toMatchObject({ size: 0 });
  });

  it('is kept when it is as large as allowed', () => {
    expect(source(header, 42).recvFrame()).toMatchObject({ size: 42 });
  });

  it('is no message at all when one frame announces more than any broker sends: the link ends', () => {
    const announced = frame(Buffer.alloc(0), 3);
    announced.writeUInt32BE(64 * 1024 * 1024 + 1, 3);
    expect(() => source(announced).recvFrame()).toThrow('67108865 bytes is announced');
  });
});

describe('what is left to amqplib', () => {
  const header = frame(contentHeader());
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a preamble', header.subarray(0, 5)],
    ['half a content header', header.subarray(0, 20)],
    ['a content header without its end octet yet', header.subarray(0, header.length - 1)],
    ['one whose end octet is another', frame(contentHeader(), 2, 0)],
    ['one that is too short', frame(Buffer.alloc(13))],
    ['one of another class', frame(contentHeader(0, Buffer.alloc(0), 10))],
    ['a frame of another type', frame(contentHeader(), 4)],
    ['another method', frame(Buffer.from([0, 60, 0, 80, 0]), 1)],
    ['half a body', frame(Buffer.alloc(10), 3).subarray(0, 12)],
    ['a delivery whose consumer tag goes on beyond its frame', frame(deliver(Buffer.from([200, 1])), 1)],
    ['a delivery whose exchange goes on beyond its frame', frame(deliver(Buffer.from([0, ...TAG, 9])), 1)],
    ['a delivery without a routing key', frame(deliver(Buffer.from([0, ...TAG, 0])), 1)],
    ['a delivery whose routing key goes on beyond its frame', frame(deliver(Buffer.from([0, ...TAG, 0, 9, 1])), 1)],
  ])('%s', (_, rest) => {
    expect(source(rest).recvFrame()).toBe(`left to amqplib: ${rest.length} bytes`);
  });

  it('a frame that is larger than was agreed', () => {
    const large = frame(Buffer.alloc(100), 3);
    const connection = source(large);
    Object.assign(connection, { maxFrameSize: 99 });
    expect(connection.recvFrame()).toBe(`left to amqplib: ${large.length} bytes`);
    Object.assign(connection, { maxFrameSize: 100 });
    expect(connection.recvFrame()).toEqual({ channel: CHANNEL, content: Buffer.alloc(100) });
  });

  it('a version that works differently', () => {
    const without: { recvFrame?: () => unknown } = {};
    readDeliveriesOf(without, 1_000);
    expect(without.recvFrame).toBeUndefined();
    const recvFrame = (): unknown => 'a frame';
    const withoutRest = { recvFrame };
    readDeliveriesOf(withoutRest, 1_000);
    expect(withoutRest.recvFrame).toBe(recvFrame);
  });
});
