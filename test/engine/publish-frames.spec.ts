import { describe, expect, it } from '@jest/globals';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { encodeFieldTable } from '#engine/wire/field-table-writer.js';
import type { MessageProperties } from '#engine/wire/message-properties.js';
import { PublishFrames } from '#engine/wire/publish-frames.js';
import { encodeContent, encodeMethod } from '../../tools/broker/amqp-codec.js';

const CHANNEL = 7;
const FRAME_MAX = 4_096;

interface Message {
  exchange: string;
  routingKey: string;
  content: Buffer;
  properties: MessageProperties;
  headers?: Record<string, unknown>;
}

function ours(messages: readonly Message[], frameMax = FRAME_MAX): Buffer {
  const frames = new PublishFrames(CHANNEL, frameMax);
  for (const { headers, ...message } of messages)
    frames.add({ ...message, headerTable: headers === undefined ? undefined : encodeFieldTable(headers) });
  const { bytes } = frames;
  const taken = Buffer.concat(frames.take());
  expect({ bytes: taken.length, left: frames.bytes }).toEqual({ bytes, left: 0 });
  return taken;
}

function amqplibs(messages: readonly Message[], frameMax = FRAME_MAX): Buffer {
  return Buffer.concat(
    messages.flatMap(({ exchange, routingKey, content, properties, headers }) => {
      const { mandatory = false, persistent, expiration, ...rest } = properties;
      const fields = {
        ...rest,
        headers,
        deliveryMode: persistent === undefined ? undefined : persistent ? 2 : 1,
        expiration: expiration === undefined ? undefined : String(expiration),
      };
      return [
        encodeMethod('basic.publish', CHANNEL, { ticket: 0, exchange, routingKey, mandatory, immediate: false }),
        encodeContent(CHANNEL, fields, content, frameMax),
      ];
    }),
  );
}

const PLAIN: Message = {
  exchange: 'shop',
  routingKey: 'order.created',
  content: Buffer.from('{"id":1}'),
  properties: { mandatory: true, persistent: true, messageId: 'm1', contentType: 'application/json' },
};

const EVERYTHING: MessageProperties = {
  mandatory: true,
  persistent: false,
  messageId: 'ä€😀',
  contentType: 'application/json',
  contentEncoding: 'identity',
  correlationId: 'c'.repeat(255),
  replyTo: 'amq.rabbitmq.reply-to',
  expiration: 60_000,
  priority: 9,
  timestamp: 1_700_000_000,
  type: 'order',
  userId: 'guest',
  appId: 'shop',
};

describe('a message as we write it', () => {
  it.each<[string, Partial<Message>]>([
    ['with usual properties', {}],
    ['to the default exchange, not mandatory', { exchange: '', properties: { mandatory: false } }],
    ['with every property', { properties: EVERYTHING }],
    ['with no property at all', { properties: {} }],
    ['with headers', { headers: { tenant: 'a', bytes: 70_000 } }],
    ['with a table of headers that is empty', { headers: {} }],
    ['with names that are not ASCII', { exchange: 'Läden', routingKey: '注文.作成' }],
    ['with an empty body', { content: Buffer.alloc(0) }],
  ])('%s is what amqplib writes, byte by byte', (_, difference) => {
    const message = { ...PLAIN, ...difference };
    expect(ours([message]).equals(amqplibs([message]))).toBe(true);
  });

  it.each([1, 4_087, 4_088, 4_089, 8_176, 8_191, 8_192, 8_193, 70_000, 300_000])(
    'with a body of %i bytes is split into frames as amqplib splits it',
    (size) => {
      for (const frameMax of [4_096, 131_072]) {
        const messages = [PLAIN, { ...PLAIN, content: Buffer.alloc(size, 'x') }, PLAIN];
        expect(ours(messages, frameMax).equals(amqplibs(messages, frameMax))).toBe(true);
      }
    },
  );

  it('stays what it is among ten thousand others, over many slabs', () => {
    const messages = Array.from({ length: 10_000 }, (_, i) => ({
      ...PLAIN,
      routingKey: `key.${i}`,
      content: Buffer.alloc((i * 37) % 9_000, i % 256),
    }));
    expect(ours(messages, 131_072).equals(amqplibs(messages, 131_072))).toBe(true);
  });

  it.each<[string, Partial<Message>]>([
    ['an exchange that is too long', { exchange: 'x'.repeat(256) }],
    ['a property that is too long in bytes', { properties: { correlationId: 'é'.repeat(128) } }],
    ['a timestamp that is none', { properties: { timestamp: NaN } }],
    ['headers that do not fit into a frame', { headers: { big: 'x'.repeat(FRAME_MAX) } }],
  ])('with %s is refused, and leaves nothing of it on the wire', (_, difference) => {
    const frames = new PublishFrames(CHANNEL, FRAME_MAX);
    frames.add({ ...PLAIN, headerTable: undefined });
    const bad = { ...PLAIN, ...difference };
    expect(() =>
      frames.add({ ...bad, headerTable: bad.headers === undefined ? undefined : encodeFieldTable(bad.headers) }),
    ).toThrow(RangeError);
    frames.add({ ...PLAIN, headerTable: undefined });
    expect(Buffer.concat(frames.take()).equals(amqplibs([PLAIN, PLAIN]))).toBe(true);
  });
});

const require = createRequire(import.meta.url);
const { encodeTable } = require(join(dirname(require.resolve('amqplib')), 'lib', 'codec.js')) as {
  encodeTable(buffer: Buffer, table: object, offset: number): number;
};

function amqplibsTable(table: object): Buffer {
  const buffer = Buffer.alloc(65_536);
  return buffer.subarray(0, encodeTable(buffer, table, 0));
}

describe('a table of headers as we write it', () => {
  const LARGE_INTEGERS = [32_769, 2 ** 31 - 1, 2 ** 31, 2 ** 49, 2 ** 50, 2 ** 53, 2 ** 62];
  it.each<[string, object]>([
    ['strings', { a: '', b: 'ascii', c: 'ä€😀', ['ключ']: 'значение' }],
    ['integers of more than 16 bits', { all: LARGE_INTEGERS.flatMap((n) => [n, -n, n - 1, -n - 1]) }],
    ['fractions and what is beyond 64 bits', { all: [0.5, -1e-9, 1.7e300, 2 ** 63, 2 ** 64] }],
    ['booleans, null, and undefined fields', { t: true, f: false, n: null, u: undefined }],
    ['bytes', { b: Buffer.from([0, 1, 255]), empty: Buffer.alloc(0) }],
    ['arrays and tables in each other', { a: [0.5, [null, { b: [{}] }], []], t: { t: { t: {} } } }],
    ...(
      [
        ['timestamp', 1_700_000_000],
        ['float', 1.5],
        ['double', 1],
        ['float64', 2],
        ['byte', -1],
        ['int8', 1],
        ['uint8', 200],
        ['unsignedbyte', 200],
        ['short', 1],
        ['int16', -2],
        ['uint16', 60_000],
        ['unsignedshort', 60_000],
        ['int', 1],
        ['int32', -3],
        ['uint32', 4e9],
        ['unsignedint', 4e9],
        ['long', 5],
        ['int64', -5],
        ['string', 'text'],
        ['boolean', true],
        ['decimal', { places: 2, digits: 12_345 }],
      ] as const
    ).map(([type, value]): [string, object] => [`{ '!': '${type}' }`, { typed: { '!': type, value } }]),
  ])('is what amqplib writes: %s', (_, table) => {
    expect(encodeFieldTable(table as Record<string, unknown>).equals(amqplibsTable(table))).toBe(true);
  });

  it('takes what amqplib does not: dates, bigints, typed arrays, negative decimals', () => {
    const date = new Date(1_700_000_000_999);
    const decimal = (digits: number) => ({ '!': 'decimal', value: { places: 2, digits } });
    expect(
      encodeFieldTable({ date, big: 2n ** 62n, bytes: new Uint8Array([1, 2]), price: decimal(-125) }).equals(
        amqplibsTable({
          date: { '!': 'timestamp', value: 1_700_000_000 },
          big: { '!': 'long', value: 2n ** 62n },
          bytes: Buffer.from([1, 2]),
          price: decimal(2 ** 32 - 125),
        }),
      ),
    ).toBe(true);
  });

  // One of 16 bits is a short string to py-amqp, one of 8 bits has no sign for pika, py-amqp and bunny.
  it.each([0, 1, -1, 127, 128, -128, 255, 32_767, -32_768])('has %i in 32 bits, which every client reads', (n) => {
    const inEveryPlace = (value: unknown) => ({ value, list: [value], table: { value } });
    expect(encodeFieldTable(inEveryPlace(n)).equals(amqplibsTable(inEveryPlace({ '!': 'int32', value: n })))).toBe(
      true,
    );
  });

  it('sends own fields only, one named __proto__ among them', () => {
    const table = Object.create({ inherited: 1 }) as Record<string, unknown>;
    table['own'] = JSON.parse('{"__proto__":2}');
    expect(encodeFieldTable(table).toString('latin1')).toContain('__proto__');
    expect(encodeFieldTable(table).toString('latin1')).not.toContain('inherited');
  });

  const endless: Record<string, unknown> = {};
  endless['self'] = endless;
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a function', { f: () => 'secret' }, /value of type function/],
    ['a symbol', { f: Symbol('secret') }, /value of type symbol/],
    ['undefined in an array', { f: [undefined] }, /value of type undefined/],
    ['a type that nobody knows', { f: { '!': 'secrecy', value: 'x' } }, /value of type "secrecy"/],
    ['an inherited name as a type', { f: { '!': 'toString', value: 'x' } }, /value of type "toString"/],
    [
      'a number that its type cannot hold',
      { f: { '!': 'uint8', value: 256 } },
      /^header "f" .* out of the range of "uint8"$/,
    ],
    ['a number that a float cannot hold', { f: { '!': 'float', value: 1e300 } }, /out of the range of "float"$/],
    ['NaN', { ratio: NaN }, /^header "ratio" is or holds NaN/],
    ['Infinity, however deep', { ratios: [{ last: -Infinity }] }, /^header "ratios" is or holds -Infinity/],
    ['a timestamp that is none', { at: new Date(NaN) }, /^header "at" is or holds NaN/],
    ['a decimal without digits', { price: { '!': 'decimal', value: { places: 2 } } }, /^header "price" .* digits/],
    ['a decimal of more than 32 bits', { f: { '!': 'decimal', value: { places: 0, digits: 2 ** 32 } } }, /32 bits/],
    ['a bigint of more than 64 bits', { f: 2n ** 64n }, /out of the range of "int64"/],
    ['a name that is too long', { ['n'.repeat(256)]: 1 }, /takes 256 bytes/],
    ['a table that contains itself', endless, /64 levels/],
  ])('refuses %s', (_, table, why) => {
    expect(() => encodeFieldTable(table)).toThrow(why);
  });
});
