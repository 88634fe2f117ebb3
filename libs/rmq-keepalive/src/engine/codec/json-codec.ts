/**
 * The default codec: JSON in UTF-8 for values, bytes as they are for Buffers.
 *
 * What comes in is treated as hostile: it was written by whoever may publish to the queue. Its size is checked before it
 * is read, its encoding and nesting before it is parsed, and its keys before anybody sees the value. What goes out is held
 * to the same bounds, so that whatever this codec encodes it also decodes.
 *
 * No error made here quotes the text: `JSON.parse` does, and error messages end up in logs and dead-letter headers.
 */
import { types } from 'node:util';
import { PayloadNotDecodableError } from '../errors/delivery-errors.js';
import { PayloadNotEncodableError, PayloadTooLargeError } from '../errors/publish-errors.js';
import { reasonOf } from '../errors/reasons.js';
import { checkNumber, checkOptionsObject, shown } from '../base/option-checks.js';
import type { BodyProperties, Codec, EncodedBody } from './codec.js';
import { foreignBody } from './foreign-body.js';
import { packingOf, unpacked } from './packing.js';
import { canSpellForbiddenKey, forbiddenKeyIn, isNestedDeeperThan } from './json-text-checks.js';

export interface JsonCodecOptions {
  /**
   * The largest body, in either direction; of a compressed one, what comes out of it. `publish.maxMessageBytes` limits what is published alone, with any codec. The smaller of
   * both counts.
   * @default 16_777_216 (16 MiB, RabbitMQ's own `max_message_size` since 4.0), or the connection's `publish.maxMessageBytes` if that is more
   */
  maxBytes?: number;
  /**
   * How deep arrays and objects may be nested, in either direction.
   * @unit levels
   * @default 64
   */
  maxDepth?: number;
}

const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';
export const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;
/** The longest string that Node can make is not much longer. */
export const MAX_BYTES = 0x1fff_ffff;
const DEFAULT_MAX_DEPTH = 64;
/** AMQP has a content *encoding*, where some clients (Celery, for one) write the charset. */
const PLAIN_ENCODINGS: readonly string[] = ['', 'identity', 'utf-8', 'utf8'];
const UTF8_CHARSETS: readonly string[] = ['utf-8', 'utf8', 'us-ascii'];
/** Throws on invalid UTF-8, and drops a byte order mark. Keeps nothing from one call to the next. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * | content type | payload to the handler |
 * |---|---|
 * | `application/json`, `text/json`, anything that ends in `+json`, none | the parsed value |
 * | other `text/*` | a string |
 * | `application/octet-stream` | the Buffer as it came, whatever its content encoding |
 * | anything else | refused by name |
 *
 * JSON and text have to be UTF-8. They may be compressed: with the content encoding `gzip`, `deflate`, `br` or (Node 22.15 and later)
 * `zstd`, or as kombu (Celery) does it, with a header `compression`. Never more than `maxBytes` are unpacked. An empty body is no
 * JSON and is refused, unless its content type says text or bytes. An object with the key `__proto__`, or with
 * `constructor.prototype`, is refused.
 *
 * The other way round, a `Buffer` or `Uint8Array` is sent as `application/octet-stream`. It is not copied: do not change it
 * before the publish has settled. Everything else, also a string, is sent as JSON; `undefined`, functions, symbols,
 * BigInts and cycles are refused.
 *
 * ```ts
 * const strict: Codec = new JsonCodec({ maxBytes: 65_536, maxDepth: 8 });
 * ```
 *
 * What counts as JSON follows https://mimesniff.spec.whatwg.org/#json-mime-type.
 */
export class JsonCodec implements Codec {
  readonly contentType = JSON_TYPE;
  private readonly maxBytes: number;
  private readonly maxDepth: number;

  /** @throws OptionsError */
  constructor(options: JsonCodecOptions = {}, defaults: { maxBytes?: number } = {}) {
    checkOptionsObject(options, ['maxBytes', 'maxDepth'], 'json');
    const { maxBytes = defaults.maxBytes ?? DEFAULT_MAX_BYTES, maxDepth = DEFAULT_MAX_DEPTH } = options;
    checkNumber(maxBytes, { min: 1, max: MAX_BYTES, unit: 'bytes', integer: true }, 'json.maxBytes');
    checkNumber(maxDepth, { min: 1, max: 1000, unit: 'levels', integer: true }, 'json.maxDepth');
    this.maxBytes = maxBytes;
    this.maxDepth = maxDepth;
  }

  encode(payload: unknown): EncodedBody {
    if (types.isUint8Array(payload)) {
      this.refuseToEncodeLarge(payload.byteLength);
      return { content: asBuffer(payload), contentType: BYTES_TYPE };
    }
    const json = toJson(payload);
    // A character takes at least a byte: what is too long already needs no buffer to find out.
    this.refuseToEncodeLarge(json.length);
    if (isNestedDeeperThan(this.maxDepth, json)) throw new PayloadNotEncodableError(this.tooDeep);
    if (canSpellForbiddenKey(json)) {
      const forbidden = forbiddenKeyIn(JSON.parse(json));
      if (forbidden !== undefined) throw new PayloadNotEncodableError(`it has the forbidden key ${forbidden}`);
    }
    const bytes = Buffer.byteLength(json);
    this.refuseToEncodeLarge(bytes);
    // Of exactly this size: Buffer.from() leaves room for three bytes a character, and messages may be kept for long.
    const content = Buffer.allocUnsafe(bytes);
    content.write(json);
    return { content, contentType: JSON_TYPE };
  }

  decode(body: Buffer, properties: BodyProperties): unknown {
    if (body.length > this.maxBytes) throw new PayloadNotDecodableError(tooLarge(body.length, this.maxBytes));
    const { type, charset } = parseContentType(properties.contentType);
    if (type === BYTES_TYPE) return body;
    const isJson = isJsonType(type);
    if (!isJson && !type.startsWith('text/')) {
      throw new PayloadNotDecodableError(`its content type ${shown(type)} is neither JSON, text nor ${BYTES_TYPE}`);
    }
    const packing = packingOf(body, properties);
    refuseForeignEncoding(packing === undefined ? properties.contentEncoding : undefined, charset);
    const text = decodeUtf8(packing === undefined ? body : unpacked(body, packing, this.maxBytes));
    if (text === undefined) throw notWhatItSays('it is not valid UTF-8', properties);
    return isJson ? this.parse(text, properties) : text;
  }

  private parse(json: string, properties: BodyProperties): unknown {
    if (json === '') throw new PayloadNotDecodableError('it is empty, and JSON is not');
    if (isNestedDeeperThan(this.maxDepth, json)) throw new PayloadNotDecodableError(this.tooDeep);
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      // Neither its message nor, as a cause, the error itself may go on: it quotes the text.
      throw notWhatItSays('it is not valid JSON', properties);
    }
    const forbidden = canSpellForbiddenKey(json) ? forbiddenKeyIn(value) : undefined;
    if (forbidden !== undefined) throw new PayloadNotDecodableError(`it has the forbidden key ${forbidden}`);
    return value;
  }

  private refuseToEncodeLarge(bytes: number): void {
    if (bytes > this.maxBytes) throw new PayloadTooLargeError(bytes, this.maxBytes, 'json.maxBytes');
  }

  private get tooDeep(): string {
    return `it is nested more than ${this.maxDepth} levels deep (json.maxDepth)`;
  }
}

function tooLarge(bytes: number, maxBytes: number): string {
  return `it takes ${bytes} bytes, more than json.maxBytes (${maxBytes})`;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toJson(payload: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(payload);
  } catch (thrown) {
    throw whyNotStringified(thrown);
  }
  if (json !== undefined) return json;
  const what = typeof payload === 'object' ? 'what its toJSON() returned' : `a value of type ${typeof payload}`;
  throw new PayloadNotEncodableError(`${what} has no JSON form. Use null to send nothing`);
}

/** `JSON.stringify` says it all, but quotes names out of the payload. An error of a `toJSON()` or a getter is the caller's own. */
function whyNotStringified(thrown: unknown): PayloadNotEncodableError {
  const reason = reasonOf(thrown);
  if (reason.startsWith('Converting circular structure')) {
    return new PayloadNotEncodableError('it contains itself somewhere (a cycle)');
  }
  if (reason.includes('serialize a BigInt')) {
    return new PayloadNotEncodableError('it contains a BigInt, which JSON does not have. Send it as a string');
  }
  if (reason.startsWith('Maximum call stack'))
    return new PayloadNotEncodableError('it is nested too deep for JSON.stringify');
  if (reason.startsWith('Invalid string length'))
    return new PayloadNotEncodableError('it is larger than a string can be');
  return new PayloadNotEncodableError('a toJSON() or a getter in it threw', { cause: thrown });
}

function parseContentType(contentType: string = JSON_TYPE): { type: string; charset: string | undefined } {
  if (contentType === JSON_TYPE) return { type: JSON_TYPE, charset: undefined };
  const [type = '', ...parameters] = contentType.toLowerCase().split(';');
  const charset = parameters.map((parameter) => /^\s*charset\s*=\s*"?([^"]*)"?\s*$/.exec(parameter)?.[1]?.trim());
  return { type: type.trim() || JSON_TYPE, charset: charset.find((name) => name !== undefined) };
}

function isJsonType(type: string): boolean {
  return type === JSON_TYPE || type === 'text/json' || type.endsWith('+json');
}

function refuseForeignEncoding(contentEncoding: string | undefined, charset: string | undefined): void {
  if (contentEncoding !== undefined && !PLAIN_ENCODINGS.includes(contentEncoding.toLowerCase())) {
    throw new PayloadNotDecodableError(
      `its content encoding ${shown(contentEncoding)} is not known here. Give the subscription a codec that unpacks it`,
    );
  }
  if (charset !== undefined && !UTF8_CHARSETS.includes(charset)) {
    throw new PayloadNotDecodableError(`its charset ${shown(charset)} is not UTF-8`);
  }
}

/** Asked only when it cannot be read: to those who send JSON a header of that name may mean anything. */
function notWhatItSays(reason: string, properties: BodyProperties): PayloadNotDecodableError {
  return new PayloadNotDecodableError(foreignBody(properties) ?? reason);
}

const BYTE_ORDER_MARK = 0xfeff;
/** What Node puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

function decodeUtf8(body: Buffer): string | undefined {
  // Many times faster than the strict decoder, which only what is in doubt has to pass. A text of Latin letters cannot
  // hold the replacement character, and V8 knows that without looking.
  const text = body.toString();
  if (!text.includes(REPLACEMENT) && text.charCodeAt(0) !== BYTE_ORDER_MARK) return text;
  try {
    return utf8.decode(body);
  } catch {
    return undefined;
  }
}
