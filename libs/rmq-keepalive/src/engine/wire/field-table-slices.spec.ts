import { describe, expect, it } from '@jest/globals';
import { encodeFieldTable } from './field-table-writer.js';
import { joinedTables, withoutFields } from './field-table-slices.js';

const typed = (type: string, value: unknown): object => ({ '!': type, value });

const EVERY_TYPE = {
  text: 'ä€😀',
  bytes: Buffer.from([0, 255]),
  list: [1, ['x', {}]],
  table: { deep: { er: [null] } },
  none: null,
  flag: true,
  ...Object.fromEntries(
    ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'float', 'double', 'timestamp'].map((type) => [
      type,
      typed(type, 7),
    ]),
  ),
  decimal: typed('decimal', { places: 2, digits: -125 }),
};

const nothing = (): boolean => false;
const without = (table: object, ...names: string[]): Buffer =>
  encodeFieldTable(Object.fromEntries(Object.entries(table).filter(([name]) => !names.includes(name))));

describe('a table of headers without some of its fields', () => {
  it.each(Object.keys(EVERY_TYPE))('is what it would be without "%s", byte by byte', (name) => {
    const taken = withoutFields(encodeFieldTable(EVERY_TYPE), (one) => one === name);
    expect(taken.equals(without(EVERY_TYPE, name))).toBe(true);
  });

  it('is the same table when none are left out, and an empty one when all are', () => {
    const table = encodeFieldTable(EVERY_TYPE);
    expect(withoutFields(table, nothing).equals(table)).toBe(true);
    expect(withoutFields(table, () => true).equals(encodeFieldTable({}))).toBe(true);
  });

  it('keeps fields whose values nobody can tell apart when they are read: not UTF-8, larger than numbers are, twice there', () => {
    const fields = [
      Buffer.from('\x01aS\x00\x00\x00\x01\xff', 'latin1'),
      Buffer.from('\x01bL\x10\x00\x00\x00\x00\x00\x00\x01', 'latin1'),
      Buffer.from('\x01at\x01', 'latin1'),
    ];
    const table = Buffer.concat([Buffer.alloc(4), ...fields]);
    table.writeUInt32BE(table.length - 4, 0);
    expect(withoutFields(table, nothing).equals(table)).toBe(true);
    expect(
      withoutFields(table, (name) => name === 'a')
        .subarray(4)
        .equals(fields[1] as Buffer),
    ).toBe(true);
  });

  it.each([
    ['of a type that nobody knows', '\x00\x00\x00\x03\x01a?'],
    ['that goes on beyond the end', '\x00\x00\x00\x07\x01aS\x00\x00\x00\x09'],
    ['that is cut off', '\x00\x00\x00\x04\x01aS\x00'],
  ])('is refused with a field %s', (_, bytes) => {
    expect(() => withoutFields(Buffer.from(bytes, 'latin1'), nothing)).toThrow();
  });
});

describe('two tables joined', () => {
  it('are the fields of both', () => {
    const joined = joinedTables(encodeFieldTable({ a: 1 }), encodeFieldTable({ b: 'x' }));
    expect(joined.equals(encodeFieldTable({ a: 1, b: 'x' }))).toBe(true);
  });
});
