/** Publishes a message with a header table that no client library would write. */
import type { ConfirmChannel } from 'amqplib';
import { encodeMethod } from './amqp-codec.js';
import { FRAME_END } from '#testing/wire/amqp-frames.js';

/** The parts of amqplib behind a channel; what is written there goes out as it is. */
interface RawChannel {
  ch: number;
  connection: { channels: { buffer: { write(bytes: Buffer): void } }[] };
}

const BASIC_CLASS = 60;
const HEADERS_FLAG = 0x2000;

/** Resolves when the broker has confirmed it. `table` are the bytes of the header table, without their length. */
export async function publishWithHeaderTable(
  channel: ConfirmChannel,
  queue: string,
  message: { body: Buffer; table: Buffer },
): Promise<void> {
  const { ch, connection } = channel as unknown as RawChannel;
  const publish = encodeMethod('basic.publish', ch, {
    ticket: 0,
    exchange: '',
    routingKey: queue,
    mandatory: false,
    immediate: false,
  });
  connection.channels[ch]!.buffer.write(Buffer.concat([publish, contentWithHeaderTable(ch, message)]));
  await new Promise<void>((resolve, reject) => {
    channel.once('ack', () => resolve());
    channel.once('close', () => reject(new Error('The broker did not take it')));
  });
}

/** The frames behind basic.publish or basic.deliver. */
export function contentWithHeaderTable(channel: number, { body, table }: { body: Buffer; table: Buffer }): Buffer {
  const header = Buffer.alloc(18);
  header.writeUInt16BE(BASIC_CLASS, 0);
  header.writeBigUInt64BE(BigInt(body.length), 4);
  header.writeUInt16BE(HEADERS_FLAG, 12);
  header.writeUInt32BE(table.length, 14);
  return Buffer.concat([frame(2, channel, Buffer.concat([header, table])), frame(3, channel, body)]);
}

/** A field of a header table: its name, the letter of its type, its value as it goes over the wire. */
export function rawField(name: string, type: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([Buffer.byteLength(name)]), Buffer.from(name), Buffer.from(type), value]);
}

export function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

/** So many that ours have no room beside them in a frame of 128 KiB, the usual size. */
export const A_FRAME_OF_HEADERS = headersOf(130_879);

/** A header table of so many bytes. */
export function headersOf(bytes: number): Buffer {
  const value = Buffer.alloc(bytes - 3);
  value.writeUInt32BE(value.length - 4);
  return rawField('x', 'S', value);
}

/** A table in a table in a table ..., each under an empty name. */
export function nestedTable(levels: number): Buffer {
  const innermost = Buffer.from('\x01xV', 'latin1');
  const heads: Buffer[] = [];
  for (let level = 0, length = innermost.length; level < levels; level++, length += 6) {
    const head = Buffer.from('\x00F\x00\x00\x00\x00', 'latin1');
    head.writeUInt32BE(length, 2);
    heads.push(head);
  }
  return Buffer.concat([...heads.toReversed(), innermost]);
}

function frame(type: number, channel: number, payload: Buffer): Buffer {
  const preamble = Buffer.alloc(7);
  preamble.writeUInt8(type, 0);
  preamble.writeUInt16BE(channel, 1);
  preamble.writeUInt32BE(payload.length, 3);
  return Buffer.concat([preamble, payload, Buffer.from([FRAME_END])]);
}
