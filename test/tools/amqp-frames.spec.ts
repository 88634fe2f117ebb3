import { describe, expect, it } from '@jest/globals';
import { HEARTBEAT_FRAME, encodeContent, encodeMethod } from '../../tools/broker/amqp-codec.js';
import { FrameReader, PROTOCOL_HEADER, methodId, methodName } from '#testing/wire/amqp-frames.js';

const conversation = Buffer.concat([
  PROTOCOL_HEADER,
  encodeMethod('basic.consume', 3, { queue: 'orders', consumerTag: 'tag' }),
  HEARTBEAT_FRAME,
  encodeMethod('basic.deliver', 3, { consumerTag: 'tag', deliveryTag: 1, exchange: '', routingKey: 'orders' }),
  encodeContent(3, { messageId: 'm1' }, Buffer.alloc(10_000, 'x'), 4_096),
]);
const expected = [
  ['protocol-header', 0, undefined],
  ['method', 3, 'basic.consume'],
  ['heartbeat', 0, undefined],
  ['method', 3, 'basic.deliver'],
  ['header', 3, undefined],
  ['body', 3, undefined],
  ['body', 3, undefined],
  ['body', 3, undefined],
];

function readInChunks(bytes: Buffer, chunkBytes: number, reader = new FrameReader()) {
  const frames = [];
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    for (const { frame, end } of reader.read(bytes.subarray(start, start + chunkBytes))) {
      frames.push({ ...frame, endsAt: start + end });
    }
  }
  return frames;
}

describe('FrameReader', () => {
  it.each([1, 2, 7, 8, 11, 100, conversation.length])('finds every frame in chunks of %i bytes', (chunkBytes) => {
    const frames = readInChunks(conversation, chunkBytes);
    expect(frames.map(({ type, channel, method }) => [type, channel, method])).toEqual(expected);
    expect(frames.at(-1)!.endsAt).toBe(conversation.length);
    expect(frames.reduce((sum, { type, size }) => sum + (type === 'body' ? size : 0), 0)).toBe(10_000);
  });

  it('keeps payloads when asked to', () => {
    const frames = readInChunks(conversation, 5, new FrameReader({ keepPayload: true }));
    const body = Buffer.concat(frames.flatMap(({ type, payload }) => (type === 'body' ? payload! : [])));
    expect(body).toEqual(Buffer.alloc(10_000, 'x'));
  });

  it('finds no more frames once the stream is damaged', () => {
    const reader = new FrameReader();
    const damaged = Buffer.concat([HEARTBEAT_FRAME, HEARTBEAT_FRAME, HEARTBEAT_FRAME]);
    damaged[HEARTBEAT_FRAME.length] = 0xff;
    expect(reader.read(damaged)).toHaveLength(1);
    expect(reader.isLost).toBe(true);
  });

  it('knows methods by name and number', () => {
    expect(methodId('queue.declare-ok')).toBe((50 << 16) | 11);
    expect(methodName((60 << 16) | 120)).toBe('basic.nack');
    expect(methodName(1)).toBeUndefined();
  });
});
