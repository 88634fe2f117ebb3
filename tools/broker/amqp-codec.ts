/**
 * Writes and reads the content of AMQP frames, with the codec inside amqplib.
 *
 * amqplib does not export it, so it is loaded by its path. That is good enough for a test peer, and for nothing else.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type AmqpMethod, FRAME_END, FRAME_OVERHEAD, methodId } from '#testing/wire/amqp-frames.js';

/** Fields of a method or of message properties, by their camel-case names; long strings are Buffers. */
export type AmqpFields = Record<string, unknown>;

interface Definitions {
  encodeMethod(id: number, channel: number, fields: AmqpFields): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: AmqpFields): Buffer;
  decode(id: number, bytes: Buffer): AmqpFields;
}

const require = createRequire(import.meta.url);
const definitions = require(join(dirname(require.resolve('amqplib')), 'lib', 'defs.js')) as Definitions;

const BASIC_CLASS = 60;
const METHOD_ID_BYTES = 4;
/** Class, weight and body size, before the properties. */
const CONTENT_HEADER_BYTES = 12;
const BODY_FRAME = 3;

export const HEARTBEAT_FRAME = Buffer.from([8, 0, 0, 0, 0, 0, 0, FRAME_END]);

export function encodeMethod(method: AmqpMethod, channel: number, fields: AmqpFields): Buffer {
  return definitions.encodeMethod(methodId(method), channel, fields);
}

export function decodeMethod(method: AmqpMethod, payload: Buffer): AmqpFields {
  return definitions.decode(methodId(method), payload.subarray(METHOD_ID_BYTES));
}

/** A content header and its body, as the frames that follow `basic.deliver` and its like. */
export function encodeContent(channel: number, properties: AmqpFields, body: Buffer, frameMax: number): Buffer {
  const header = definitions.encodeProperties(BASIC_CLASS, channel, body.length, properties);
  const room = frameMax === 0 ? Math.max(1, body.length) : frameMax - FRAME_OVERHEAD;
  const frames = [header];
  for (let start = 0; start < body.length; start += room) {
    frames.push(bodyFrame(channel, body.subarray(start, start + room)));
  }
  return Buffer.concat(frames);
}

export function decodeContentHeader(payload: Buffer): { bodySize: number; properties: AmqpFields } {
  return {
    bodySize: Number(payload.readBigUInt64BE(4)),
    properties: definitions.decode(BASIC_CLASS, payload.subarray(CONTENT_HEADER_BYTES)),
  };
}

function bodyFrame(channel: number, bytes: Buffer): Buffer {
  const frame = Buffer.alloc(bytes.length + FRAME_OVERHEAD);
  frame.writeUInt8(BODY_FRAME, 0);
  frame.writeUInt16BE(channel, 1);
  frame.writeUInt32BE(bytes.length, 3);
  bytes.copy(frame, 7);
  frame.writeUInt8(FRAME_END, bytes.length + 7);
  return frame;
}
