import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { OptionsError } from '../errors/options-error.js';
import { PayloadNotDecodableError } from '../errors/delivery-errors.js';
import { PayloadNotEncodableError } from '../errors/publish-errors.js';
import { JsonCodec, type JsonCodecOptions } from './json-codec.js';

const codec = new JsonCodec();
const decode = (body: string | Uint8Array, contentType?: string, contentEncoding?: string) =>
  codec.decode(Buffer.from(body as string), { contentType, contentEncoding });

const thrownBy = (work: () => unknown): Error => {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
};

const refusedBody = (...args: Parameters<typeof decode>): string => {
  const error = thrownBy(() => decode(...args));
  expect(error).toBeInstanceOf(PayloadNotDecodableError);
  expect(error).toMatchObject({ code: 'RMQ_PAYLOAD_NOT_DECODABLE' });
  expect(error.cause).toBeUndefined();
  return error.message;
};

const refusedPayload = (payload: unknown): string => {
  const error = thrownBy(() => codec.encode(payload));
  expect(error).toBeInstanceOf(PayloadNotEncodableError);
  expect(error).toMatchObject({ code: 'RMQ_PAYLOAD_NOT_ENCODABLE' });
  return error.message;
};

describe('when a payload is encoded', () => {
  it('writes JSON in UTF-8', () => {
    expect(codec.encode({ id: 1, name: 'é✓' })).toEqual({
      content: Buffer.from('{"id":1,"name":"é✓"}'),
      contentType: 'application/json',
    });
  });

  it.each([[null], [0], [false], [''], ['text'], [[]], [{}], [{ a: undefined }], [new Date(0)]])(
    'and decodes it again: %p',
    (payload) => {
      const { content, contentType } = codec.encode(payload);
      expect(codec.decode(content, { contentType })).toEqual(JSON.parse(JSON.stringify(payload)));
    },
  );

  it('sends bytes as they are, without a copy', () => {
    const bytes = Buffer.from([1, 2, 255]);
    expect(codec.encode(bytes)).toEqual({ content: bytes, contentType: 'application/octet-stream' });
    expect(codec.encode(bytes).content).toBe(bytes);
    expect(codec.encode(new Uint8Array([9, 1, 2, 255, 9]).subarray(1, 4)).content.equals(bytes)).toBe(true);
    const { content, contentType } = codec.encode(bytes);
    expect(codec.decode(content, { contentType })).toBe(bytes);
  });

  it.each([
    [undefined, 'a value of type undefined has no JSON form'],
    [() => 1, 'a value of type function has no JSON form'],
    [Symbol('s'), 'a value of type symbol has no JSON form'],
    [{ toJSON: () => undefined }, 'toJSON() returned has no JSON form'],
    [1n, 'a BigInt'],
    [{ deep: [{ total: 1n }] }, 'a BigInt'],
  ])('refuses %p and names the problem', (payload, problem) => {
    expect(refusedPayload(payload)).toContain(problem);
  });

  it('refuses a cycle without naming what is in it', () => {
    const payload: Record<string, unknown> = {};
    payload['SECRET'] = [payload];
    const message = refusedPayload(payload);
    expect(message).toContain('a cycle');
    expect(message).not.toContain('SECRET');
  });

  it('passes on the error of a toJSON() as the cause, not in the message', () => {
    const error = thrownBy(() =>
      codec.encode({
        toJSON() {
          throw new TypeError('card 4111');
        },
      }),
    );
    expect(error.message).toContain('a toJSON() or a getter in it threw');
    expect(error.message).not.toContain('4111');
    expect((error.cause as Error).message).toBe('card 4111');
  });

  it('refuses more than maxBytes, counted in bytes, values and bytes alike', () => {
    const small = new JsonCodec({ maxBytes: 6 });
    expect(small.encode('éé').content).toHaveLength(6);
    expect(() => small.encode('ééé')).toThrow('more than json.maxBytes (6)');
    expect(() => small.encode('x'.repeat(1000))).toThrow('more than json.maxBytes (6)');
    expect(small.encode(Buffer.alloc(6)).content).toHaveLength(6);
    expect(thrownBy(() => small.encode(Buffer.alloc(7)))).toMatchObject({
      code: 'RMQ_PAYLOAD_TOO_LARGE',
      bytes: 7,
      maxBytes: 6,
      option: 'json.maxBytes',
    });
  });

  it('refuses what it would not decode: nesting that is too deep, forbidden keys', () => {
    const nest = (levels: number): unknown => {
      let value: unknown = 1;
      for (let level = 0; level < levels; level++) value = [value];
      return value;
    };
    expect(codec.encode(nest(64)).content).toHaveLength(129);
    expect(refusedPayload(nest(65))).toContain('more than 64 levels deep');
    expect(refusedPayload(nest(20_000))).toContain('deep');
    expect(refusedPayload(JSON.parse('{"a":{"__proto__":1}}'))).toContain('forbidden key __proto__');
    expect(codec.encode({ note: '__proto__' }).contentType).toBe('application/json');
  });
});

describe('when the content type says what a body is', () => {
  it.each([
    undefined,
    '',
    ' ',
    'application/json',
    'Application/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'application/json; version=1; charset=utf8',
    'text/json',
    'application/vnd.shop.order+json',
    'application/cloudevents+json; charset=utf-8',
  ])('%p is JSON', (contentType) => {
    expect(decode('{"a":1}', contentType)).toEqual({ a: 1 });
  });

  it.each(['text/plain', 'text/plain; charset=utf-8', 'text/csv', 'TEXT/PLAIN'])('%s is a string', (contentType) => {
    expect(decode('{é', contentType)).toBe('{é');
    expect(decode('', contentType)).toBe('');
  });

  it('octet-stream is the Buffer as it came, whatever its encoding', () => {
    const body = Buffer.from([0xff, 0x00]);
    expect(codec.decode(body, { contentType: 'application/octet-stream', contentEncoding: 'gzip' })).toBe(body);
  });

  it.each(['application/xml', 'application/x-protobuf', 'image/png', 'json', 'application/jsonx', 'a/b;+json'])(
    '%s is refused by name',
    (contentType) => {
      const type = contentType.split(';')[0]!;
      expect(refusedBody('{}', contentType)).toContain(`its content type "${type}" is neither JSON, text nor`);
    },
  );

  it('shows a long or odd content type short and on one line', () => {
    const message = refusedBody('{}', `x/${'y'.repeat(250)}\n`);
    expect(message.length).toBeLessThan(200);
    expect(message).not.toContain('\n');
  });

  it.each(['iso-8859-1', 'utf-16', 'windows-1252'])('refuses the charset %s by name', (charset) => {
    expect(refusedBody('{}', `application/json; charset=${charset}`)).toContain(
      `its charset "${charset}" is not UTF-8`,
    );
    expect(refusedBody('x', `text/plain; charset="${charset}"`)).toContain(`its charset "${charset}" is not UTF-8`);
  });

  it.each([undefined, '', 'identity', 'utf-8', 'UTF-8', 'utf8'])('takes the content encoding %p', (contentEncoding) => {
    expect(decode('{"a":1}', 'application/json', contentEncoding)).toEqual({ a: 1 });
  });

  it.each(['compress', 'base64', 'binary'])('refuses the content encoding %s by name', (contentEncoding) => {
    expect(refusedBody('{}', 'application/json', contentEncoding)).toContain(
      `its content encoding "${contentEncoding}"`,
    );
    expect(refusedBody('{}', 'text/plain', contentEncoding)).toContain(`its content encoding "${contentEncoding}"`);
  });
});

describe('when a body is hostile', () => {
  it('refuses more than maxBytes before it looks at anything else', () => {
    const small = new JsonCodec({ maxBytes: 4 });
    expect(small.decode(Buffer.from('1234'), {})).toBe(1234);
    for (const contentType of ['application/json', 'text/plain', 'application/octet-stream', 'x/y']) {
      expect(() => small.decode(Buffer.from('12345'), { contentType })).toThrow('5 bytes, more than json.maxBytes (4)');
    }
  });

  it('refuses a million brackets before it parses them', () => {
    expect(refusedBody('['.repeat(1_000_000))).toContain('more than 64 levels deep');
    expect(refusedBody(`${'{"a":'.repeat(65)}1${'}'.repeat(65)}`)).toContain('more than 64 levels deep');
    expect(decode(`${'['.repeat(64)}${']'.repeat(64)}`)).toBeInstanceOf(Array);
  });

  it('refuses forbidden keys, however they are spelled, and leaves every prototype alone', () => {
    expect(refusedBody('{"__proto__":{"polluted":true}}')).toContain('forbidden key __proto__');
    expect(refusedBody('{"a":[{"\\u005f_proto__":{"polluted":true}}]}')).toContain('forbidden key __proto__');
    expect(refusedBody('{"constructor":{"prototype":{"polluted":true}}}')).toContain(
      'forbidden key constructor.prototype',
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(decode('{"constructor":"McLaren"}')).toEqual({ constructor: 'McLaren' });
  });

  it.each([
    ['a lone continuation byte', Buffer.from([0x22, 0x80, 0x22])],
    ['a truncated character', Buffer.from([0x22, 0xe2, 0x9c, 0x22])],
    ['an overlong slash', Buffer.from([0x22, 0xc0, 0xaf, 0x22])],
    ['a surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ['UTF-16 with its mark', Buffer.from('\ufeff{"a":1}', 'utf16le')],
  ])('refuses %s', (_, body) => {
    expect(refusedBody(body)).toContain('not valid UTF-8');
  });

  it.each<[string, Buffer, object, RegExp]>([
    [
      'of kombu (Celery), compressed',
      Buffer.from('BZh91AY'),
      { contentEncoding: 'utf-8', headers: { compression: 'application/x-bz2' } },
      /it is compressed \(header "compression": "application\/x-bz2"\)\. .* a codec that unpacks it$/,
    ],
    [
      'of AMQP 1.0, an encoded value',
      Buffer.from('\x00Sw\xa1\x05hello', 'latin1'),
      { type: 'amqp-1.0' },
      /it is an AMQP 1\.0 value section \(type "amqp-1\.0"\), still encoded\. .* a codec that reads it$/,
    ],
    ['of AMQP 1.0, an encoded truth', Buffer.from('\x00SwA', 'latin1'), { type: 'amqp-1.0' }, /value section/],
  ])('names a body for what it is: %s', (_, body, properties, why) => {
    for (const contentType of ['application/json', 'text/json', undefined]) {
      const error = thrownBy(() => new JsonCodec().decode(body, { contentType, ...properties }));
      expect(error).toBeInstanceOf(PayloadNotDecodableError);
      expect(error.message).toMatch(why);
    }
  });

  it('reads JSON whatever such a header says, and believes no inherited one', () => {
    const headers = { compression: 'application/x-gzip' };
    expect(new JsonCodec().decode(Buffer.from('[1]'), { headers, type: 'amqp-1.0' })).toEqual([1]);
    const error = thrownBy(() =>
      new JsonCodec().decode(Buffer.from('?'), {
        headers: Object.create(headers) as object as Record<string, unknown>,
      }),
    );
    expect(error.message).toContain('not valid JSON');
  });

  it('is not confused by the body before: the decoder keeps nothing', () => {
    refusedBody(Buffer.from([0x22, 0xe2, 0x9c]));
    expect(decode('"✓"')).toBe('✓');
  });

  it('takes a byte order mark for what it is', () => {
    expect(decode(Buffer.from([0xef, 0xbb, 0xbf, 0x31]))).toBe(1);
  });

  it('refuses an empty body as JSON', () => {
    expect(refusedBody('')).toContain('it is empty');
    expect(refusedBody('', 'application/json')).toContain('it is empty');
  });

  it.each(['SECRET', '{"SECRET":}', '{"a":"SECRET"', '["SECRET",]', "{'SECRET':1}", 'NaN', ' ', '\u0000'])(
    'refuses %p without quoting it anywhere',
    (body) => {
      const error = thrownBy(() => decode(body));
      expect(error.message).toContain('not valid JSON');
      expect(inspect(error, { depth: 5, showHidden: true })).not.toContain('SECRET');
    },
  );
});

describe('when the codec is configured', () => {
  it.each([
    { maxBytes: 0 },
    { maxBytes: 1.5 },
    { maxBytes: Infinity },
    { maxDepth: 0 },
    { maxDepth: 1001 },
    { maxbytes: 5 },
  ])('refuses %p', (options) => {
    expect(thrownBy(() => new JsonCodec(options as JsonCodecOptions))).toBeInstanceOf(OptionsError);
  });

  it('keeps to the depth it was given', () => {
    expect(() => new JsonCodec({ maxDepth: 1 }).decode(Buffer.from('[[]]'), {})).toThrow('more than 1 levels deep');
    expect(new JsonCodec({ maxDepth: 1 }).decode(Buffer.from('[1]'), {})).toEqual([1]);
  });
});
