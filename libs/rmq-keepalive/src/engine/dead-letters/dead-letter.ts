/**
 * A dead letter as it is read: what its headers say about it, the message itself, and how an HTTP answer shows both.
 *
 * Danger: a body may be large, no JSON, or decoded into a value that JSON cannot hold. The answer shows the letter all the
 * same, bounded, and never fails.
 */
import type { GetMessage, MessageProperties } from 'amqplib';
import type { Codec } from '../codec/codec.js';
import { reasonOf } from '../errors/reasons.js';
import { refuseUnreadable } from '../codec/readable.js';
import { DEAD_LETTER_HEADERS } from '../consuming/failures/move-to-dead-letters.js';
import { type MessageHeaders, plainHeaders } from '../wire/message-headers.js';

/** How often a message was replayed from a dead-letter queue. */
export const REPLAYED_HEADER = 'x-replayed';

/** Everything but headers, properties and body may be missing: anybody can put a message into a dead-letter queue. */
export class DeadLetter {
  readonly messageId: string | undefined;
  /** A `DeadLetterReason`, or the broker's own word when it was the broker that dead-lettered (`expired`, `delivery_limit` ...). */
  readonly reason: string | undefined;
  /** The last error: its name, and its message without stack. */
  readonly error: { readonly name: string; readonly message: string } | undefined;
  /** How often it was tried. */
  readonly attempts: number | undefined;
  /** When a handler got it for the first time. */
  readonly firstSeenAt: Date | undefined;
  /** When it was dead-lettered. */
  readonly at: Date | undefined;
  readonly subscription: string | undefined;
  /** The queue that it came from. */
  readonly queue: string | undefined;
  /** Where it was published to first. */
  readonly exchange: string | undefined;
  readonly routingKey: string | undefined;
  /** How often it was replayed before. */
  readonly replayed: number;
  readonly headers: MessageHeaders;
  readonly properties: MessageProperties;
  readonly body: Buffer;
  readonly #codec: Codec;

  /** @internal */
  constructor(message: GetMessage, codec: Codec) {
    const { properties, content } = message;
    const headers = plainHeaders(properties.headers);
    const text = (...names: string[]): string | undefined =>
      names.map((name) => headers[name]).find((value) => typeof value === 'string');
    const count = (name: string): number | undefined => (typeof headers[name] === 'number' ? headers[name] : undefined);
    const errorName = text(DEAD_LETTER_HEADERS.errorName);
    this.messageId = typeof properties.messageId === 'string' ? properties.messageId : undefined;
    this.reason = text(DEAD_LETTER_HEADERS.reason, 'x-first-death-reason');
    this.error =
      errorName === undefined ? undefined : { name: errorName, message: text(DEAD_LETTER_HEADERS.errorMessage) ?? '' };
    this.attempts = count(DEAD_LETTER_HEADERS.attempts);
    this.firstSeenAt = dateOf(text(DEAD_LETTER_HEADERS.firstSeen));
    this.at = dateOf(text(DEAD_LETTER_HEADERS.at));
    this.subscription = text(DEAD_LETTER_HEADERS.subscription);
    this.queue = text(DEAD_LETTER_HEADERS.queue, 'x-first-death-queue');
    this.exchange = text(DEAD_LETTER_HEADERS.exchange, 'x-first-death-exchange');
    this.routingKey = text(DEAD_LETTER_HEADERS.routingKey) ?? firstDeathRoutingKey(headers);
    this.replayed = count(REPLAYED_HEADER) ?? 0;
    this.headers = headers;
    this.properties = properties;
    this.body = content;
    this.#codec = codec;
  }

  /** The body as a handler would get it. @throws {@link PayloadNotDecodableError} */
  get payload(): unknown {
    refuseUnreadable(this.properties);
    return this.#codec.decode(this.body, this.properties);
  }

  /** For a controller that answers with letters: the payload in place of the body, up to 64 KiB of it. */
  toJSON(): DeadLetterJson {
    return deadLetterJson(this);
  }
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** The broker lists deaths latest first. */
function firstDeathRoutingKey(headers: MessageHeaders): string | undefined {
  const deaths = headers['x-death'];
  const first: unknown = Array.isArray(deaths) ? deaths.at(-1) : undefined;
  const keys: unknown =
    typeof first === 'object' && first !== null ? (first as Record<string, unknown>)['routing-keys'] : undefined;
  const key: unknown = Array.isArray(keys) ? keys[0] : undefined;
  return typeof key === 'string' ? key : undefined;
}

/** Larger bodies are left out, with their size: a list of fifty must not become an answer of hundreds of megabytes. */
export const MAX_SHOWN_BYTES = 64 * 1024;

type Told =
  | 'messageId'
  | 'reason'
  | 'error'
  | 'attempts'
  | 'firstSeenAt'
  | 'at'
  | 'subscription'
  | 'queue'
  | 'exchange'
  | 'routingKey'
  | 'replayed';

/** What `JSON.stringify(letter)` writes. */
interface DeadLetterJson extends Pick<DeadLetter, Told | 'headers'> {
  /** Of the body, in bytes. */
  readonly bytes: number;
  /** The payload as a handler would get it; left out with `payloadOmitted`. */
  readonly payload?: unknown;
  /** Why there is no payload here: too large, not decodable, or of a kind that JSON does not have. */
  readonly payloadOmitted?: string;
}

function deadLetterJson(letter: DeadLetter): DeadLetterJson {
  const { messageId, reason, error, attempts, firstSeenAt, at, subscription, queue, exchange, routingKey } = letter;
  const { replayed, headers, body } = letter;
  return {
    messageId,
    reason,
    error,
    attempts,
    firstSeenAt,
    at,
    subscription,
    queue,
    exchange,
    routingKey,
    replayed,
    headers,
    bytes: body.length,
    ...shownPayload(letter),
  };
}

function shownPayload(letter: DeadLetter): Pick<DeadLetterJson, 'payload' | 'payloadOmitted'> {
  const { body } = letter;
  if (body.length > MAX_SHOWN_BYTES) return { payloadOmitted: `more than ${MAX_SHOWN_BYTES} bytes` };
  try {
    const { payload } = letter;
    if (Buffer.isBuffer(payload)) return { payloadOmitted: 'bytes, no JSON' };
    // A codec of the user's may unpack a small body into a large value, or into one that JSON does not have.
    const text = JSON.stringify(payload) as string | undefined;
    if (text === undefined) return { payloadOmitted: 'it has no JSON form' };
    return text.length > 2 * MAX_SHOWN_BYTES
      ? { payloadOmitted: `decoded, more than ${2 * MAX_SHOWN_BYTES} characters` }
      : { payload };
  } catch (thrown) {
    return { payloadOmitted: reasonOf(thrown) };
  }
}
