/**
 * Reads the content header of a message: the size of its body, and its properties (AMQP 0-9-1, sections 2.3.5.2 and 4.2.6.1).
 * Whatever stands in the properties, the frame as such can be read: what cannot is said, and costs this message only.
 */
import { readFieldTable, UnreadableTableError } from './field-table-reader.js';
import { type ArrivedTable, ReceivedProperties } from './received-properties.js';

/** As amqplib hands on what it has read of such a frame. */
export interface ContentHeader {
  readonly id: typeof BASIC_CLASS;
  readonly channel: number;
  /** Of the body, in bytes. */
  readonly size: number;
  readonly fields: ReceivedProperties;
}

export const BASIC_CLASS = 60;
/** Class, weight, size of the body, flags. */
export const FIXED_BYTES = 14;

/** From its class (at `start`) to its last byte (before `end`); at least {@link FIXED_BYTES}. */
export function readContentHeader(bytes: Buffer, channel: number, start: number, end: number): ContentHeader {
  const size = bytes.readUInt32BE(start + 4) * 0x1_0000_0000 + bytes.readUInt32BE(start + 8);
  const fields = new ReceivedProperties();
  new PropertyReader(bytes, start + FIXED_BYTES, end).readInto(fields, bytes.readUInt16BE(start + 12));
  return { id: BASIC_CLASS, channel, size, fields };
}

class PropertyReader {
  #table: ArrivedTable | undefined;
  #fault: string | undefined;

  constructor(
    private readonly bytes: Buffer,
    private at: number,
    private readonly end: number,
  ) {}

  readInto(fields: ReceivedProperties, flags: number): void {
    try {
      this.#readAll(fields, flags);
    } catch {
      this.#fault = 'the properties of its message cannot be read: one of them goes on beyond the end of their frame';
    }
    if (this.#table !== undefined || this.#fault !== undefined)
      ReceivedProperties.arrived(fields, this.#table, this.#fault);
  }

  #readAll(fields: ReceivedProperties, flags: number): void {
    if (flags & 0x8000) fields.contentType = this.#shortString();
    if (flags & 0x4000) fields.contentEncoding = this.#shortString();
    if (flags & 0x2000) fields.headers = this.#headers();
    if (flags & 0x1000) fields.deliveryMode = this.bytes[this.#taken(1)];
    if (flags & 0x0800) fields.priority = this.bytes[this.#taken(1)];
    if (flags & 0x0400) fields.correlationId = this.#shortString();
    if (flags & 0x0200) fields.replyTo = this.#shortString();
    if (flags & 0x0100) fields.expiration = this.#shortString();
    if (flags & 0x0080) fields.messageId = this.#shortString();
    if (flags & 0x0040) fields.timestamp = this.#uint64();
    if (flags & 0x0020) fields.type = this.#shortString();
    if (flags & 0x0010) fields.userId = this.#shortString();
    if (flags & 0x0008) fields.appId = this.#shortString();
    if (flags & 0x0004) fields.clusterId = this.#shortString();
  }

  /** What follows them can be read all the same: a table begins with its length. */
  #headers(): Record<string, unknown> {
    const start = this.#taken(4);
    const end = this.at + this.bytes.readUInt32BE(start);
    const from = this.#taken(end - this.at);
    this.#table = { bytes: this.bytes, start, end };
    try {
      return readFieldTable(this.bytes, from, end);
    } catch (thrown) {
      const why = thrown instanceof UnreadableTableError ? thrown.message : 'one of them goes on beyond their end';
      this.#fault = `the headers of its message cannot be read: ${why}`;
      return {};
    }
  }

  #uint64(): number {
    const at = this.#taken(8);
    return this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4);
  }

  #shortString(): string {
    const size = this.bytes[this.#taken(1)] as number;
    const from = this.#taken(size);
    return this.bytes.toString('utf8', from, from + size);
  }

  /** @returns where the next `size` bytes begin, and stands behind them */
  #taken(size: number): number {
    const from = this.at;
    this.at += size;
    if (this.at > this.end) throw new RangeError('beyond the end of the frame');
    return from;
  }
}
