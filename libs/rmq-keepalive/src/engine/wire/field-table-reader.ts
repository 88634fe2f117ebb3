/**
 * Reads header tables (AMQP 0-9-1, section 4.2.5.5, with RabbitMQ's type letters: https://www.rabbitmq.com/amqp-0-9-1-errata).
 *
 * | on the wire | JavaScript |
 * |---|---|
 * | `b` `B` `s` `u` `I` `i` | number; the small letter of `b` and `s` is the signed one, of `u` and `i` the unsigned one |
 * | `l` `L` | number, signed; beyond 2^53 the nearest one there is |
 * | `f` `d` | number |
 * | `D` | `{ '!': 'decimal', value: { places, digits } }`, digits signed |
 * | `T` | `{ '!': 'timestamp', value }` |
 * | `t` `V` `S` `x` | boolean, null, string, Buffer |
 * | `A` `F` | array, object |
 *
 * `L` is Python's (py-amqp: kombu, Celery) for all beyond 32 bits, and RabbitMQ reads it as signed, as Python writes it.
 * That the digits of a decimal have a sign is what Java, Python and Go agree on. amqplib reads neither rightly.
 *
 * Danger: whoever may publish wrote these bytes. Tables may be nested some thousands deep, lengths may lead beyond the end,
 * and a field `__proto__` would become the prototype of the object: it is left out.
 */

/** Nobody means deeper ones, and their readers (in any language) recurse. */
const MAX_TABLE_DEPTH = 256;

/** Why a header table cannot be read; its message is a clause about the headers. */
export class UnreadableTableError extends Error {}

/** The table whose fields are the bytes from `start` to `end`. @throws {@link UnreadableTableError} or RangeError */
export function readFieldTable(bytes: Buffer, start: number, end: number): Record<string, unknown> {
  return new FieldReader(bytes, start).table(end, 1);
}

const FORBIDDEN_NAME = '__proto__';

class FieldReader {
  constructor(
    private readonly bytes: Buffer,
    private at: number,
  ) {}

  table(end: number, depth: number): Record<string, unknown> {
    refuseDeeper(depth);
    const table: Record<string, unknown> = {};
    while (this.at < end) {
      const name = this.#text(this.bytes[this.at++] as number, end);
      const value = this.#value(end, depth);
      if (name !== FORBIDDEN_NAME) table[name] = value;
    }
    this.#refuseBeyond(end);
    return table;
  }

  #array(end: number, depth: number): unknown[] {
    refuseDeeper(depth);
    const values: unknown[] = [];
    while (this.at < end) values.push(this.#value(end, depth));
    this.#refuseBeyond(end);
    return values;
  }

  /** The last value of a table or array may say that it is longer than that. */
  #refuseBeyond(end: number): void {
    if (this.at !== end) throw beyondTheEnd();
  }

  /** @param end of the table or array that it is in */
  #value(end: number, depth: number): unknown {
    const { bytes } = this;
    const tag = bytes[this.at++] as number;
    switch (tag) {
      case TAG.S:
        return this.#text(this.#length(end), end);
      case TAG.I:
        return bytes.readInt32BE(this.#taken(4));
      case TAG.l:
      case TAG.L:
        return readInt64(bytes, this.#taken(8));
      case TAG.t:
        return bytes[this.#taken(1)] !== 0;
      case TAG.T:
        return { '!': 'timestamp', value: Number(bytes.readBigUInt64BE(this.#taken(8))) };
      case TAG.F:
        return this.table(this.#length(end) + this.at, depth + 1);
      case TAG.A:
        return this.#array(this.#length(end) + this.at, depth + 1);
      case TAG.V:
        return null;
      case TAG.x: {
        const size = this.#length(end);
        const from = this.#taken(size);
        return bytes.subarray(from, from + size);
      }
      default:
        return this.#rareNumber(tag);
    }
  }

  #rareNumber(tag: number): unknown {
    const { bytes } = this;
    switch (tag) {
      case TAG.d:
        return bytes.readDoubleBE(this.#taken(8));
      case TAG.f:
        return bytes.readFloatBE(this.#taken(4));
      case TAG.b:
        return bytes.readInt8(this.#taken(1));
      case TAG.B:
        return bytes.readUInt8(this.#taken(1));
      case TAG.s:
        return bytes.readInt16BE(this.#taken(2));
      case TAG.u:
        return bytes.readUInt16BE(this.#taken(2));
      case TAG.i:
        return bytes.readUInt32BE(this.#taken(4));
      case TAG.D: {
        const from = this.#taken(5);
        return { '!': 'decimal', value: { places: bytes.readUInt8(from), digits: bytes.readInt32BE(from + 1) } };
      }
      default:
        throw new UnreadableTableError(`one of them is of a type (${letter(tag)}) that AMQP 0-9-1 does not know`);
    }
  }

  #text(size: number, end: number): string {
    const from = this.#taken(size);
    if (this.at > end) throw beyondTheEnd();
    return this.bytes.toString('utf8', from, from + size);
  }

  #length(end: number): number {
    const length = this.bytes.readUInt32BE(this.#taken(4));
    if (this.at + length > end) throw beyondTheEnd();
    return length;
  }

  /** @returns where the next `size` bytes begin, and stands behind them */
  #taken(size: number): number {
    const from = this.at;
    this.at += size;
    return from;
  }
}

function refuseDeeper(depth: number): void {
  if (depth > MAX_TABLE_DEPTH)
    throw new UnreadableTableError(`they are nested more than ${MAX_TABLE_DEPTH} levels deep`);
}

const TAG = {
  b: 0x62,
  B: 0x42,
  s: 0x73,
  u: 0x75,
  I: 0x49,
  i: 0x69,
  l: 0x6c,
  L: 0x4c,
  f: 0x66,
  d: 0x64,
  D: 0x44,
  S: 0x53,
  A: 0x41,
  T: 0x54,
  F: 0x46,
  V: 0x56,
  t: 0x74,
  x: 0x78,
} as const;

/** Rounded once, as a BigInt that becomes a number; without the BigInt. */
function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

function beyondTheEnd(): UnreadableTableError {
  return new UnreadableTableError('one of them goes on beyond their end');
}

function letter(tag: number | undefined): string {
  const isPrintable = tag !== undefined && tag > 0x20 && tag < 0x7f;
  return isPrintable ? `"${String.fromCharCode(tag)}"` : `byte ${tag ?? 'missing'}`;
}
