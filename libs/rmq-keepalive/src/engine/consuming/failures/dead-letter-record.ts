/** A dead letter as it is read: what its headers say about it, and the message itself. */
import type { GetMessage, MessageProperties } from 'amqplib';
import type { Codec } from '../../codec/codec.js';
import { refuseUnreadable } from '../../codec/readable.js';
import { DEAD_LETTER_HEADERS } from './dead-letter.js';
import { deadLetterJson, type DeadLetterJson } from './dead-letter-json.js';
import { type MessageHeaders, plainHeaders } from '../delivery.js';

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
