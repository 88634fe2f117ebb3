/**
 * Encodes header tables (AMQP 0-9-1, section 4.2.5.5, with RabbitMQ's type letters: https://www.rabbitmq.com/amqp-0-9-1-errata).
 *
 * | JavaScript | on the wire |
 * |---|---|
 * | string | long string |
 * | integer, bigint | signed integer of 32 bits (`I`) if it fits, else of 64 (`l`) |
 * | other number | double; NaN and Infinity are refused |
 * | boolean, null | boolean, void |
 * | Buffer, Uint8Array | bytes |
 * | Date | timestamp, in seconds |
 * | array, object | array, table; fields that are `undefined` are left out |
 * | `{ '!': type, value }` | what `type` says, as in amqplib: `timestamp`, `decimal`, `float`, `uint8` ... |
 *
 * Danger: clients disagree about small integers. One of 16 bits (`s`) is a short string to py-amqp (kombu, Celery), which then
 * loses its place; one of 8 bits (`b`) is unsigned to pika, py-amqp and bunny, so that -1 becomes 255. All agree about 32 bits.
 * (Beyond them pika and py-amqp take negative ones for unsigned; there is no type that every client reads.) RabbitMQ compares
 * integers of any width as equal.
 *
 * Danger: RabbitMQ cannot read a number that is none, and ends the whole connection over it (541).
 */
import { types } from 'node:util';
import { shown } from '../base/option-checks.js';

/** Deeper tables are refused: nobody means them, and a table that contains itself has no end. */
const MAX_DEPTH = 64;
const FIRST_CAPACITY = 256;
/** Beyond it JavaScript's numbers have no fractions left worth sending, and 64-bit integers end at 2^63. */
const LARGEST_FRACTION = 2 ** 50;
const INT64_END = 2 ** 63;

/** @throws TypeError or RangeError for a value that AMQP cannot carry, naming the header and the type, never the value */
export function encodeFieldTable(table: Readonly<Record<string, unknown>>): Buffer {
  const out = new GrowingBuffer();
  writeTable(out, table, 1);
  return out.bytes;
}

class GrowingBuffer {
  #buffer = Buffer.allocUnsafe(FIRST_CAPACITY);
  #length = 0;

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** Makes room for `size` more bytes. @returns where they begin */
  take(size: number): number {
    const start = this.#length;
    this.#length += size;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, start);
      this.#buffer = larger;
    }
    return start;
  }

  /** Valid until the next {@link take}. */
  get buffer(): Buffer {
    return this.#buffer;
  }
}

function writeTable(out: GrowingBuffer, table: Readonly<Record<string, unknown>>, depth: number): void {
  const start = beginList(out, depth);
  for (const name of Object.keys(table)) {
    const value = table[name];
    if (value === undefined) continue;
    const size = Buffer.byteLength(name);
    if (size > 255) throw new RangeError(`the name of a header takes ${size} bytes, more than 255`);
    const at = out.take(1 + size);
    out.buffer[at] = size;
    out.buffer.write(name, at + 1);
    if (depth === 1) writeHeader(out, name, value);
    else writeValue(out, value, depth);
  }
  endList(out, start);
}

/** Whatever is wrong with it, or within it, is said with its name. */
function writeHeader(out: GrowingBuffer, name: string, value: unknown): void {
  try {
    writeValue(out, value, 1);
  } catch (thrown) {
    throw thrown instanceof HeaderTypeError ? new TypeError(`header ${shown(name)} ${thrown.message}`) : thrown;
  }
}

/** Its message goes on where the name of the header ends. */
class HeaderTypeError extends TypeError {}

function writeArray(out: GrowingBuffer, values: readonly unknown[], depth: number): void {
  const start = beginList(out, depth);
  for (const value of values) writeValue(out, value, depth);
  endList(out, start);
}

function beginList(out: GrowingBuffer, depth: number): number {
  if (depth > MAX_DEPTH) throw new HeaderTypeError(`is nested more than ${MAX_DEPTH} levels deep`);
  return out.take(4);
}

function endList(out: GrowingBuffer, start: number): void {
  out.buffer.writeUInt32BE(out.length - start - 4, start);
}

function writeValue(out: GrowingBuffer, value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      return writeString(out, value);
    case 'number':
      return writeTyped(out, numberType(value), value);
    case 'bigint':
      return writeTyped(out, 'int64', value);
    case 'boolean':
      out.buffer[tagged(out, 't', 1)] = value ? 1 : 0;
      return;
    case 'object':
      return writeObject(out, value, depth);
    default:
      throw new HeaderTypeError(`is or holds a value of type ${typeof value}, which AMQP does not have`);
  }
}

function writeObject(out: GrowingBuffer, value: object | null, depth: number): void {
  if (value === null) tagged(out, 'V', 0);
  else if (Array.isArray(value)) {
    tagged(out, 'A', 0);
    writeArray(out, value, depth + 1);
  } else if (types.isUint8Array(value)) writeBytes(out, value);
  else if (types.isDate(value)) writeTyped(out, 'timestamp', Math.floor(value.getTime() / 1000));
  else if (Object.hasOwn(value, '!')) {
    const { '!': type, value: inner } = value as { '!': unknown; value: unknown };
    writeAs(out, String(type), inner, depth);
  } else {
    tagged(out, 'F', 0);
    writeTable(out, value as Record<string, unknown>, depth + 1);
  }
}

/** What the writer of `{ '!': type, value }` asked for. */
function writeAs(out: GrowingBuffer, type: string, value: unknown, depth: number): void {
  if (type === 'string') return writeString(out, String(value));
  if (type === 'boolean' || type === 'object')
    return writeValue(out, type === 'boolean' ? Boolean(value) : value, depth);
  if (type === 'number') return writeTyped(out, numberType(Number(value)), Number(value));
  if (type === 'decimal') return writeDecimal(out, value);
  writeTyped(out, type, value as number);
}

function writeString(out: GrowingBuffer, value: string): void {
  const size = Buffer.byteLength(value);
  const at = tagged(out, 'S', 4 + size);
  out.buffer.writeUInt32BE(size, at);
  out.buffer.write(value, at + 4);
}

function writeBytes(out: GrowingBuffer, value: Uint8Array): void {
  const at = tagged(out, 'x', 4 + value.length);
  out.buffer.writeUInt32BE(value.length, at);
  out.buffer.set(value, at + 4);
}

function writeDecimal(out: GrowingBuffer, value: unknown): void {
  const { places, digits } = Object(value) as { places: unknown; digits: unknown };
  if (!isWhole(places, 0, 0xff) || !isWhole(digits, -0x8000_0000, 0xffff_ffff))
    throw new HeaderTypeError('is or holds a decimal without places (0..255) and digits (32 bits)');
  const at = tagged(out, 'D', 5);
  out.buffer[at] = places;
  // Clients read the digits with a sign; amqplib writes them without one.
  out.buffer.writeInt32BE(digits | 0, at + 1);
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

function writeTyped(out: GrowingBuffer, type: string, value: number | bigint): void {
  const known = NUMBER_TYPES[type];
  if (known === undefined)
    throw new HeaderTypeError(`is or holds a value of type ${shown(type)}, which AMQP does not have`);
  if (!Number.isFinite(Number(value)))
    throw new HeaderTypeError(`is or holds ${Number(value)}, which RabbitMQ does not take for a number`);
  const at = tagged(out, known.tag, known.size);
  try {
    known.write(out.buffer, value, at);
  } catch {
    // Node's own message quotes the value.
    throw new HeaderTypeError(`is or holds a number that is out of the range of ${shown(type)}`);
  }
}

interface NumberType {
  readonly tag: string;
  readonly size: number;
  write(buffer: Buffer, value: number | bigint, at: number): void;
}

const INT8: NumberType = { tag: 'b', size: 1, write: (buffer, value, at) => buffer.writeInt8(Number(value), at) };
const UINT8: NumberType = { tag: 'B', size: 1, write: (buffer, value, at) => buffer.writeUInt8(Number(value), at) };
const INT16: NumberType = { tag: 's', size: 2, write: (buffer, value, at) => buffer.writeInt16BE(Number(value), at) };
const UINT16: NumberType = { tag: 'u', size: 2, write: (buffer, value, at) => buffer.writeUInt16BE(Number(value), at) };
const INT32: NumberType = { tag: 'I', size: 4, write: (buffer, value, at) => buffer.writeInt32BE(Number(value), at) };
const UINT32: NumberType = { tag: 'i', size: 4, write: (buffer, value, at) => buffer.writeUInt32BE(Number(value), at) };
const INT64: NumberType = {
  tag: 'l',
  size: 8,
  write: (buffer, value, at) => buffer.writeBigInt64BE(BigInt(value), at),
};
const DOUBLE: NumberType = { tag: 'd', size: 8, write: (buffer, value, at) => buffer.writeDoubleBE(Number(value), at) };
const FLOAT: NumberType = {
  tag: 'f',
  size: 4,
  write(buffer, value, at) {
    // Beyond its range it would become Infinity.
    if (!Number.isFinite(Math.fround(Number(value)))) throw new RangeError();
    buffer.writeFloatBE(Number(value), at);
  },
};
const TIMESTAMP: NumberType = {
  tag: 'T',
  size: 8,
  write: (buffer, value, at) => buffer.writeBigUInt64BE(BigInt(value), at),
};

/** The names that amqplib knows. */
const NUMBER_TYPES: Readonly<Record<string, NumberType | undefined>> = {
  __proto__: null as never,
  byte: INT8,
  int8: INT8,
  unsignedbyte: UINT8,
  uint8: UINT8,
  short: INT16,
  int16: INT16,
  unsignedshort: UINT16,
  uint16: UINT16,
  int: INT32,
  int32: INT32,
  unsignedint: UINT32,
  uint32: UINT32,
  long: INT64,
  int64: INT64,
  double: DOUBLE,
  float64: DOUBLE,
  float: FLOAT,
  timestamp: TIMESTAMP,
};

function numberType(value: number): string {
  const isInteger =
    Math.abs(value) < LARGEST_FRACTION ? Number.isInteger(value) : value >= -INT64_END && value < INT64_END;
  if (!isInteger) return 'double';
  return value >= -0x8000_0000 && value < 0x8000_0000 ? 'int32' : 'int64';
}

/** Writes the type letter. @returns where the `size` bytes behind it begin */
function tagged(out: GrowingBuffer, tag: string, size: number): number {
  const at = out.take(1 + size);
  out.buffer[at] = tag.charCodeAt(0);
  return at + 1;
}
