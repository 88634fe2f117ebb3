/**
 * Reads and writes AMQP frames from the broker's side: methods by the names of their fields, properties of messages, bodies.
 * Header tables are the library's own (`engine/wire`).
 */
import { type ContentHeader, readContentHeader } from '../../../engine/wire/content-header.js';
import { readFieldTable } from '../../../engine/wire/field-table-reader.js';
import { encodeFieldTable } from '../../../engine/wire/field-table-writer.js';
import { type AmqpMethod, FRAME_END, FRAME_OVERHEAD, methodId } from './amqp-frames.js';
import { fieldsOf, type MethodField } from './method-fields.js';

/** Fields of a method by name. Those that are left out are empty, 0 or false. */
export type AmqpFields = Readonly<Record<string, unknown>>;

const METHOD_FRAME = 1;
const HEADER_FRAME = 2;
const BODY_FRAME = 3;
const METHOD_ID_BYTES = 4;
const BASIC_CLASS = 60;
const PREAMBLE = 7;

export const HEARTBEAT_FRAME = Buffer.from([8, 0, 0, 0, 0, 0, 0, FRAME_END]);

export function encodeMethod(method: AmqpMethod, channel: number, fields: AmqpFields = {}): Buffer {
  const id = Buffer.alloc(METHOD_ID_BYTES);
  id.writeUInt32BE(methodId(method));
  const bits: number[] = [];
  const parts: Buffer[] = [id];
  // Bits that follow each other share an octet.
  const endBits = (): void => {
    if (bits.length > 0) parts.push(Buffer.from([bits.reduce((octet, bit, index) => octet | (bit << index), 0)]));
    bits.length = 0;
  };
  for (const field of fieldsOf(method)) {
    if (field.type === 'bit') {
      bits.push(fields[field.name] === true ? 1 : 0);
      continue;
    }
    endBits();
    parts.push(encodeField(field, fields[field.name]));
  }
  endBits();
  return frame(METHOD_FRAME, channel, Buffer.concat(parts));
}

export function decodeMethod(method: AmqpMethod, payload: Buffer): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  let at = METHOD_ID_BYTES;
  let bit = 0;
  for (const field of fieldsOf(method)) {
    if (field.type === 'bit') {
      fields[field.name] = ((payload[at] ?? 0) & (1 << bit)) !== 0;
      bit += 1;
      continue;
    }
    if (bit > 0) at += 1;
    bit = 0;
    const { value, end } = decodeField(field, payload, at);
    fields[field.name] = value;
    at = end;
  }
  return fields;
}

/** The content header of a message, and the frames of its body. */
export function encodeContent(channel: number, properties: Buffer, body: Buffer, frameMax: number): Buffer {
  const head = Buffer.alloc(12 + properties.length);
  head.writeUInt16BE(BASIC_CLASS, 0);
  head.writeBigUInt64BE(BigInt(body.length), 4);
  properties.copy(head, 12);
  const room = frameMax === 0 ? Math.max(1, body.length) : frameMax - FRAME_OVERHEAD;
  const frames = [frame(HEADER_FRAME, channel, head)];
  for (let start = 0; start < body.length; start += room)
    frames.push(frame(BODY_FRAME, channel, body.subarray(start, start + room)));
  return Buffer.concat(frames);
}

/** From the payload of a content header frame. */
export function decodeContentHeader(payload: Buffer, channel: number): ContentHeader {
  return readContentHeader(payload, channel, 0, payload.length);
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(payload.length + FRAME_OVERHEAD);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt16BE(channel, 1);
  bytes.writeUInt32BE(payload.length, 3);
  payload.copy(bytes, PREAMBLE);
  bytes.writeUInt8(FRAME_END, payload.length + PREAMBLE);
  return bytes;
}

const NUMBER_BYTES = { octet: 1, short: 2, long: 4 } as const;

function encodeField({ type }: MethodField, value: unknown): Buffer {
  switch (type) {
    case 'shortstr':
      return shortString(textOf(value));
    case 'longstr':
      return longString(Buffer.isBuffer(value) ? value : Buffer.from(textOf(value)));
    case 'table':
      return encodeFieldTable((value ?? {}) as Record<string, unknown>);
    case 'longlong': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(BigInt(numberOf(value)));
      return bytes;
    }
    default: {
      const size = NUMBER_BYTES[type as keyof typeof NUMBER_BYTES];
      const bytes = Buffer.alloc(size);
      bytes.writeUIntBE(numberOf(value), 0, size);
      return bytes;
    }
  }
}

function decodeField({ type }: MethodField, payload: Buffer, at: number): { value: unknown; end: number } {
  switch (type) {
    case 'shortstr': {
      const end = at + 1 + payload.readUInt8(at);
      return { value: payload.toString('utf8', at + 1, end), end };
    }
    case 'longstr': {
      const end = at + 4 + payload.readUInt32BE(at);
      return { value: payload.subarray(at + 4, end), end };
    }
    case 'table': {
      const end = at + 4 + payload.readUInt32BE(at);
      return { value: readFieldTable(payload, at + 4, end), end };
    }
    case 'longlong':
      return { value: Number(payload.readBigUInt64BE(at)), end: at + 8 };
    default: {
      const size = NUMBER_BYTES[type as keyof typeof NUMBER_BYTES];
      return { value: payload.readUIntBE(at, size), end: at + size };
    }
  }
}

/** At most 255 bytes: what is longer is cut, as the texts of refusals may be. */
export function shortString(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, 255);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function longString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
