/** Writes the properties of a message: flags, then what is there, in the order of the flags (AMQP 0-9-1, section 4.2.6.1). */
import type { ReceivedProperties } from '../../../engine/wire/received-properties.js';
import { shortString } from './amqp-codec.js';

type Properties = Readonly<Omit<ReceivedProperties, 'headers'>>;

const TEXTS_BEHIND_PRIORITY = ['correlationId', 'replyTo', 'expiration', 'messageId'] as const;
const TEXTS_BEHIND_TIMESTAMP = ['type', 'userId', 'appId', 'clusterId'] as const;

/** @param table the header table with its length, as it came or as `encodeFieldTable` made it */
export function writeProperties(properties: Properties, table: Buffer | undefined): Buffer {
  const parts: Buffer[] = [];
  let flags = 0;
  let flag = 1 << 15;
  const next = (bytes: Buffer | undefined): void => {
    if (bytes !== undefined) {
      flags |= flag;
      parts.push(bytes);
    }
    flag >>= 1;
  };
  const text = (value: string | undefined): void => next(value === undefined ? undefined : shortString(value));
  const octet = (value: number | undefined): void => next(value === undefined ? undefined : Buffer.from([value]));
  text(properties.contentType);
  text(properties.contentEncoding);
  next(table);
  octet(properties.deliveryMode);
  octet(properties.priority);
  for (const name of TEXTS_BEHIND_PRIORITY) text(properties[name]);
  next(properties.timestamp === undefined ? undefined : uint64(properties.timestamp));
  for (const name of TEXTS_BEHIND_TIMESTAMP) text(properties[name]);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(flags);
  return Buffer.concat([head, ...parts]);
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
