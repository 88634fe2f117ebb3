/**
 * Compressed bodies: which way a message says that its body was packed, and the bytes that were.
 *
 * Danger: a few kilobytes can be made to unpack into gigabytes, and a header named `compression` may mean anything to those who do
 * not compress.
 * Choice: never more than the bound is unpacked, whatever is in the body. The content encoding is the sender's word; kombu's header
 * counts where the body begins as that format does.
 */
import zlib from 'node:zlib';
import { PayloadNotDecodableError } from '../errors/delivery-errors.js';
import { shown } from '../base/option-checks.js';
import type { BodyProperties } from './codec.js';
import { compressionHeaderOf } from './foreign-body.js';

/** The ways that both sides of a queue can agree on. */
export type Packing = 'gzip' | 'deflate' | 'br' | 'zstd';

export const PACKINGS = ['gzip', 'deflate', 'br', 'zstd'] as const satisfies readonly Packing[];

/** By the content encoding. */
const BY_ENCODING: Readonly<Record<string, Packing>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
};

/** By kombu's names for them; both of the first mean a zlib stream. */
const BY_KOMBU: Readonly<Record<string, Packing>> = {
  'application/x-gzip': 'deflate',
  'application/zlib': 'deflate',
  'application/zstd': 'zstd',
};

interface Zlib {
  zstdCompressSync?: (bytes: Buffer) => Buffer;
  zstdDecompressSync?: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;
}
/** Node has it from 22.15 on. */
const { zstdCompressSync, zstdDecompressSync } = zlib as Zlib;

export function canPack(packing: Packing): boolean {
  return packing !== 'zstd' || zstdCompressSync !== undefined;
}

export function packed(bytes: Buffer, packing: Packing): Buffer {
  if (packing === 'gzip') return zlib.gzipSync(bytes);
  if (packing === 'deflate') return zlib.deflateSync(bytes);
  if (packing === 'br') return zlib.brotliCompressSync(bytes, { params: BROTLI_FOR_MESSAGES });
  return zstdCompressSync!(bytes);
}

/** Its default quality is for files that are packed once, and takes a hundred times as long. */
const BROTLI_FOR_MESSAGES = { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 };

/** How a body is packed, as far as its message says so; `undefined`: it is not, or nobody here knows. */
export function packingOf(body: Buffer, properties: BodyProperties): Packing | undefined {
  const encoding = properties.contentEncoding?.toLowerCase();
  if (encoding !== undefined && Object.hasOwn(BY_ENCODING, encoding)) return BY_ENCODING[encoding];
  const header = compressionHeaderOf(properties);
  const packing = header !== undefined && Object.hasOwn(BY_KOMBU, header) ? BY_KOMBU[header] : undefined;
  return packing !== undefined && beginsAs(packing, body) ? packing : undefined;
}

/** @throws {@link PayloadNotDecodableError} more than `maxBytes` would come out, or it is not what it says */
export function unpacked(body: Buffer, packing: Packing, maxBytes: number): Buffer {
  try {
    return unpack(body, packing, maxBytes);
  } catch (thrown) {
    if (thrown instanceof PayloadNotDecodableError) throw thrown;
    if ((thrown as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE')
      throw new PayloadNotDecodableError(
        `its ${body.length} bytes unpack (${packing}) into more than json.maxBytes (${maxBytes})`,
      );
    throw new PayloadNotDecodableError(`it is said to be packed (${packing}), and cannot be unpacked`);
  }
}

function unpack(body: Buffer, packing: Packing, maxOutputLength: number): Buffer {
  const bound = { maxOutputLength };
  if (packing === 'gzip') return zlib.gunzipSync(body, bound);
  if (packing === 'br') return zlib.brotliDecompressSync(body, bound);
  // The word means a zlib stream, and some send a bare one.
  if (packing === 'deflate') return isZlib(body) ? zlib.inflateSync(body, bound) : zlib.inflateRawSync(body, bound);
  if (zstdDecompressSync === undefined)
    throw new PayloadNotDecodableError(
      `its content encoding ${shown('zstd')} is known to Node 22.15 and later, and this is ${process.versions.node}`,
    );
  return zstdDecompressSync(body, bound);
}

function beginsAs(packing: Packing, body: Buffer): boolean {
  return packing === 'deflate' ? isZlib(body) : body.length >= 4 && body.readUInt32LE(0) === ZSTD_MAGIC;
}

const ZSTD_MAGIC = 0xfd2f_b528;

/** Its first two bytes, as RFC 1950 has them. No JSON begins so. */
function isZlib(body: Buffer): boolean {
  return body.length >= 2 && (body[0]! & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0;
}
