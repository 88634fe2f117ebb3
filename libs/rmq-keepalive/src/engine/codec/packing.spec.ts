import { describe, expect, it } from '@jest/globals';
import zlib from 'node:zlib';
import { PayloadNotDecodableError } from '../errors/delivery-errors.js';
import type { BodyProperties } from './codec.js';
import { JsonCodec } from './json-codec.js';
import { canPack, packed, type Packing, PACKINGS, packingOf, unpacked } from './packing.js';

const codec = new JsonCodec({ maxBytes: 100_000 });
const payload = { text: 'é'.repeat(1_000) };
const json = Buffer.from(JSON.stringify(payload));
const here: readonly Packing[] = PACKINGS.filter(canPack);
const refused = (body: Buffer, properties: BodyProperties): string => {
  try {
    codec.decode(body, properties);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(PayloadNotDecodableError);
    return (thrown as Error).message;
  }
  throw new Error('It was decoded');
};

describe('a compressed body', () => {
  it.each(here)('is unpacked where its content encoding is %s', (packing) => {
    const body = packed(json, packing);
    expect(body.length).toBeLessThan(json.length);
    expect(codec.decode(body, { contentEncoding: packing.toUpperCase() })).toEqual(payload);
    expect(codec.decode(body, { contentType: 'text/plain', contentEncoding: packing })).toBe(json.toString());
  });

  it('is unpacked as kombu packs it, and as others mean the same words', () => {
    for (const compression of ['application/x-gzip', 'application/zlib'])
      expect(codec.decode(zlib.deflateSync(json), { contentEncoding: 'utf-8', headers: { compression } })).toEqual(
        payload,
      );
    expect(codec.decode(zlib.gzipSync(json), { contentEncoding: 'x-gzip' })).toEqual(payload);
    expect(codec.decode(zlib.deflateRawSync(json), { contentEncoding: 'deflate' })).toEqual(payload);
  });

  it('is taken as it is where it is none: with a header of that name, and as bytes', () => {
    for (const compression of ['application/x-gzip', 'application/zstd', 'level-9'])
      expect(codec.decode(json, { headers: { compression } })).toEqual(payload);
    const body = zlib.gzipSync(json);
    expect(codec.decode(body, { contentType: 'application/octet-stream', contentEncoding: 'gzip' })).toBe(body);
    expect(packingOf(Buffer.alloc(0), { headers: { compression: 'application/x-gzip' } })).toBeUndefined();
  });

  it('never becomes larger than the bound, and says why it was refused', () => {
    const bomb = Buffer.alloc(50_000_000, 'a');
    for (const packing of here) {
      const body = packed(bomb, packing);
      const before = process.memoryUsage().arrayBuffers;
      expect(refused(body, { contentEncoding: packing })).toContain(
        `its ${body.length} bytes unpack (${packing}) into more than json.maxBytes (100000)`,
      );
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(bomb.length / 10);
    }
    expect(unpacked(packed(Buffer.alloc(100_000, 'a'), 'gzip'), 'gzip', 100_000)).toHaveLength(100_000);
  });

  it.each(here)('that is no %s, or not all of it, is refused', (packing) => {
    for (const body of [Buffer.from('{"id":1}'), packed(json, packing).subarray(0, -5), Buffer.alloc(0)])
      expect(refused(body, { contentEncoding: packing })).toContain('cannot be unpacked');
  });

  it('is still refused by name where nobody here can unpack it', () => {
    expect(refused(json.subarray(0, 5), { contentEncoding: 'compress' })).toContain('"compress" is not known here');
    const headers = { compression: 'application/x-bz2' };
    expect(refused(Buffer.from('BZh91AY'), { headers })).toContain('"compression": "application/x-bz2"');
  });
});
