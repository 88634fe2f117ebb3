import { describe, expect, it } from '@jest/globals';
import { surviveUnreadableProperties, UNREADABLE_PROPERTIES } from './unreadable-properties.js';

const CHANNEL = 7;
const BASIC_CLASS = 60;

/** A content header frame for a body of 42 bytes, and whatever follows it. */
function contentHeader(type = 2, rest = Buffer.from('rest')): Buffer {
  const payload = Buffer.alloc(20);
  payload.writeUInt16BE(BASIC_CLASS, 0);
  payload.writeBigUInt64BE(42n, 4);
  const preamble = Buffer.alloc(7);
  preamble.writeUInt8(type, 0);
  preamble.writeUInt16BE(CHANNEL, 1);
  preamble.writeUInt32BE(payload.length, 3);
  return Buffer.concat([preamble, payload, Buffer.from([0xce]), rest]);
}

/** Takes `taken` bytes from what it has, as amqplib does before it decodes a frame, and throws. */
function failingSource(bytes: Buffer, taken: number, thrown: unknown) {
  const source = {
    rest: bytes,
    recvFrame(): unknown {
      source.rest = source.rest.subarray(taken);
      throw thrown;
    },
  };
  surviveUnreadableProperties(source);
  return source;
}

function overflow(): unknown {
  try {
    return overflow();
  } catch (thrown) {
    return thrown;
  }
}

describe('when amqplib overflows the stack over the properties of a message', () => {
  it('goes on with properties that say so, and with the size of the body', () => {
    const source = failingSource(contentHeader(), 28, overflow());
    expect(source.recvFrame()).toEqual({
      id: BASIC_CLASS,
      channel: CHANNEL,
      size: 42,
      fields: { contentType: UNREADABLE_PROPERTIES, headers: {} },
    });
    expect(source.rest.toString()).toBe('rest');
  });

  it('does not go on when the frame was not taken: it would come again for ever', () => {
    expect(() => failingSource(contentHeader(), 0, overflow()).recvFrame()).toThrow('call stack');
  });
});

describe('when amqplib fails for another reason', () => {
  it.each([
    ['a frame that is no content header', contentHeader(1), 28, overflow()],
    ['bytes that make no sense', contentHeader(), 28, new TypeError('Unexpected type tag "?"')],
    ['a frame that is too short', contentHeader().subarray(0, 5), 5, overflow()],
    ['something that is no error', contentHeader(), 28, undefined],
  ])('lets the link end: %s', (_, bytes, taken, thrown) => {
    let caught: unknown = 'nothing';
    try {
      failingSource(bytes, taken, thrown).recvFrame();
    } catch (error) {
      caught = error;
    }
    expect(caught).toBe(thrown);
  });

  it('hands on what can be read', () => {
    const source = { rest: Buffer.alloc(0), recvFrame: () => 'a frame' };
    surviveUnreadableProperties(source);
    expect(source.recvFrame()).toBe('a frame');
  });

  it('leaves a version alone that works differently', () => {
    const without: { recvFrame?: () => unknown } = {};
    surviveUnreadableProperties(without);
    expect(without.recvFrame).toBeUndefined();
    const recvFrame = (): unknown => 'a frame';
    const withoutRest = { recvFrame };
    surviveUnreadableProperties(withoutRest);
    expect(withoutRest.recvFrame).toBe(recvFrame);
  });
});
