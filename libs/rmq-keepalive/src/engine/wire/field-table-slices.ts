/**
 * Takes header tables apart without reading the values: what is copied goes on as it came.
 *
 * Danger: a value that was read has lost how it was written. An integer of 64 bits becomes one of 32, a float a double,
 * 2^60 + 1 becomes 2^60, and a text that is no UTF-8 is spoilt. Whoever reads the copy sees another message.
 */
import { UnreadableTableError } from './field-table-reader.js';

/** The same table with fewer fields, byte by byte. @throws {@link UnreadableTableError} or RangeError */
export function withoutFields(table: Buffer, isLeftOut: (name: string) => boolean): Buffer {
  const kept: Buffer[] = [];
  let at = LENGTH_BYTES;
  while (at < table.length) {
    const nameEnd = at + 1 + table.readUInt8(at);
    const end = endOfValue(table, nameEnd);
    if (end > table.length) throw new UnreadableTableError('one of them goes on beyond their end');
    if (!isLeftOut(table.toString('utf8', at + 1, nameEnd))) kept.push(table.subarray(at, end));
    at = end;
  }
  return tableOf(kept);
}

/** The fields of both, in this order. */
export function joinedTables(first: Buffer, second: Buffer): Buffer {
  return tableOf([first.subarray(LENGTH_BYTES), second.subarray(LENGTH_BYTES)]);
}

const LENGTH_BYTES = 4;

function tableOf(fields: readonly Buffer[]): Buffer {
  const table = Buffer.concat([Buffer.alloc(LENGTH_BYTES), ...fields]);
  table.writeUInt32BE(table.length - LENGTH_BYTES, 0);
  return table;
}

/** How many bytes follow the letter of the type. */
const FIXED_SIZES: Readonly<Record<string, number | undefined>> = {
  __proto__: null as never,
  ...{ V: 0, t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, l: 8, L: 8, d: 8, T: 8 },
};
const BEGIN_WITH_THEIR_LENGTH = 'SxAF';

function endOfValue(table: Buffer, at: number): number {
  const type = String.fromCharCode(table.readUInt8(at));
  const size = FIXED_SIZES[type];
  if (size !== undefined) return at + 1 + size;
  if (BEGIN_WITH_THEIR_LENGTH.includes(type)) return at + 1 + LENGTH_BYTES + table.readUInt32BE(at + 1);
  throw new UnreadableTableError('one of them is of a type that AMQP 0-9-1 does not know');
}
