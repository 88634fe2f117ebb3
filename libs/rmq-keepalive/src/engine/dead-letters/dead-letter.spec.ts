import { describe, expect, it } from '@jest/globals';
import type { GetMessage } from 'amqplib';
import { JsonCodec } from '../codec/json-codec.js';
import { DeadLetter, MAX_SHOWN_BYTES } from './dead-letter.js';

const letterOf = (body: string, contentType = 'application/json', codec = new JsonCodec()): Record<string, unknown> => {
  const message = { content: Buffer.from(body), properties: { contentType, headers: {} } } as unknown as GetMessage;
  // Its constructor is nobody's business, and not in the types.
  const letter: unknown = Reflect.construct(DeadLetter, [message, codec]);
  return JSON.parse(JSON.stringify(letter)) as Record<string, unknown>;
};

describe('a dead letter in an HTTP answer', () => {
  it('shows its payload, not its bytes', () => {
    const letter = letterOf('{"id":"o1"}');
    expect(letter).toMatchObject({ payload: { id: 'o1' }, bytes: 11 });
    expect(letter).not.toHaveProperty('body');
  });

  it.each<[string, string, string | undefined, string]>([
    ['a large body', JSON.stringify('x'.repeat(MAX_SHOWN_BYTES)), undefined, 'more than 65536 bytes'],
    ['a body that is no JSON', '{"id":', undefined, 'The body cannot be decoded: it is not valid JSON'],
    ['bytes', 'abc', 'application/octet-stream', 'bytes, no JSON'],
  ])('says why %s is left out', (_, body, contentType, why) => {
    expect(letterOf(body, contentType)).toMatchObject({ payloadOmitted: why, bytes: body.length });
    expect(letterOf(body, contentType)).not.toHaveProperty('payload');
  });

  it.each<[unknown, RegExp]>([
    [{ id: 1n }, /BigInt/],
    [undefined, /no JSON form/],
    ['x'.repeat(4 * MAX_SHOWN_BYTES), /decoded, more than/],
  ])('is not spoiled by what a codec of the user makes of the body', (value, why) => {
    const codec = Object.assign(new JsonCodec(), { decode: () => value });
    expect(letterOf('{}', undefined, codec)['payloadOmitted']).toMatch(why);
  });
});
