/** How payloads become bytes and back. One codec serves a connection; it holds no state between messages. */

/** What a {@link Codec} makes of a payload. */
export interface EncodedBody {
  readonly content: Buffer;
  /** Goes into the message property of the same name. */
  readonly contentType: string;
  /** Goes into the message property of the same name; left out when the content is not compressed or otherwise wrapped. */
  readonly contentEncoding?: string;
}

/**
 * The properties of a delivery that say what its body is.
 *
 * ```ts
 * class Compressed implements Codec {
 *   readonly contentType = 'application/json';
 *   encode(payload: unknown): EncodedBody {
 *     const content = deflateSync(JSON.stringify(payload));
 *     return { content, contentType: this.contentType, contentEncoding: 'deflate' };
 *   }
 *   decode(body: Buffer, { contentEncoding }: BodyProperties): unknown {
 *     return JSON.parse(String(contentEncoding === 'deflate' ? inflateSync(body) : body));
 *   }
 * }
 * ```
 */
export interface BodyProperties {
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
}

/**
 * Turns payloads into bytes and back; `forRoot({ codec })` replaces the default {@link JsonCodec}.
 *
 * ```ts
 * const msgpack: Codec = {
 *   contentType: 'application/msgpack',
 *   encode: (payload) => ({ content: Buffer.from(pack(payload)), contentType: 'application/msgpack' }),
 *   decode: (body) => unpack(body),
 * };
 * ```
 */
export interface Codec {
  /** What this codec writes for an ordinary payload. */
  readonly contentType: string;
  /**
   * Whatever it throws, `publish()` rejects with {@link PayloadNotEncodableError}; one of these, thrown here, says what
   * stands in the way without quoting the payload.
   */
  encode(payload: unknown): EncodedBody;
  /** @throws PayloadNotDecodableError saying what is wrong with the body, without quoting it; the delivery is dead-lettered */
  decode(body: Buffer, properties: BodyProperties): unknown;
}
