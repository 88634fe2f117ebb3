/**
 * A message on its way to a handler, with its AMQP facts, tied to the channel it came on.
 *
 * Danger: after a reconnect the same delivery tag means another message, or closes the channel with 406. So a delivery
 * whose channel is gone settles nothing: the call is dropped and counted, and the broker delivers the message again.
 */
import type { Channel, ConsumeMessage, MessageProperties } from 'amqplib';
import { ORIGIN_HEADERS, REDELIVERY_COUNT_HEADER, RETRY_HEADERS } from './message-copy.js';
import { RETURN_EXCHANGE } from './retry-queues.js';
import type { SettlementKind } from './settlement.js';

/** What ties a delivery to its channel; made anew for every channel. */
export interface DeliveryOrigin {
  readonly channel: Channel;
  /** False once the channel or its link is gone. */
  isLive: boolean;
  settled(delivery: Delivery, kind: SettlementKind): void;
  stale(delivery: Delivery, kind: SettlementKind): void;
}

export type DeliveryHeaders = Readonly<Record<string, unknown>>;

export class Delivery {
  #settledAs: SettlementKind | undefined;
  #headers: DeliveryHeaders | undefined;

  constructor(
    /** The queue it came from; for a server-named queue the broker's name of it. */
    readonly queue: string,
    /** The subscription's name. */
    readonly subscription: string,
    private readonly message: ConsumeMessage,
    private readonly origin: DeliveryOrigin,
  ) {}

  /** The exchange it was published to first, also when it comes back as a retry or a replay. */
  get exchange(): string {
    return this.#carriedText(ORIGIN_HEADERS.exchange) ?? this.message.fields.exchange;
  }

  /** The routing key it was published with first, as {@link exchange}. */
  get routingKey(): string {
    return this.#carriedText(ORIGIN_HEADERS.routingKey) ?? this.message.fields.routingKey;
  }

  /** False: certainly never delivered before, or as a message that was tried and failed ({@link attempt}). True: perhaps. */
  get redelivered(): boolean {
    return this.message.fields.redelivered || this.redeliveries > 0;
  }

  /** The number of this attempt: 1, or more when the message failed before and is tried again. */
  get attempt(): number {
    return this.#carriedCount(RETRY_HEADERS.attempt) ?? 1;
  }

  /** When a handler got this message for the first time; `undefined` at the first attempt. */
  get firstSeenAt(): Date | undefined {
    const date = new Date(this.#carriedText(RETRY_HEADERS.firstSeen) ?? NaN);
    return Number.isNaN(date.getTime()) ? undefined : date;
  }

  /** @internal How often it came back to a classic queue before, as we counted. */
  get redeliveries(): number {
    return this.#carriedCount(REDELIVERY_COUNT_HEADER) ?? 0;
  }

  /** @internal As the broker said it; {@link redelivered} also knows what we counted. */
  get isBack(): boolean {
    return this.message.fields.redelivered;
  }

  /** Unique on its channel only. */
  get deliveryTag(): number {
    return this.message.fields.deliveryTag;
  }

  /** @internal A new one for every attachment of the consumer. */
  get consumerTag(): string {
    return this.message.fields.consumerTag;
  }

  get messageId(): string | undefined {
    const id: unknown = this.message.properties.messageId;
    return typeof id === 'string' ? id : undefined;
  }

  /** The AMQP properties as they came; for headers prefer {@link headers}. */
  get properties(): MessageProperties {
    return this.message.properties;
  }

  /** The headers as own properties of an object without a prototype, so that a header named `__proto__` can do nothing. */
  get headers(): DeliveryHeaders {
    return (this.#headers ??= plainHeaders(this.message.properties.headers));
  }

  /** The raw body. */
  get body(): Buffer {
    return this.message.content;
  }

  /** False once its channel or link is gone: whatever the handler does now, the broker delivers the message again. */
  get isLive(): boolean {
    return this.origin.isLive;
  }

  /** @internal How it was settled, by whoever did. */
  get settledAs(): SettlementKind | undefined {
    return this.#settledAs;
  }

  get isSettled(): boolean {
    return this.#settledAs !== undefined;
  }

  /** The broker may forget the message. Returns false when there was nothing to settle: settled before, or stale. */
  ack(): boolean {
    return this.#settle('ack', () => this.origin.channel.ack(this.message));
  }

  /** Back to the queue, at once. Counts towards a quorum queue's delivery limit. */
  requeue(): boolean {
    return this.#settle('requeue', () => this.origin.channel.reject(this.message, true));
  }

  /** Handed back untouched, as at shutdown: nack instead of reject, which RabbitMQ 4.3 does not count as a failed delivery. */
  handBack(): boolean {
    return this.#settle('requeue', () => this.origin.channel.nack(this.message, false, true));
  }

  /** Dropped by the broker, or sent to the queue's own dead-letter exchange. */
  reject(): boolean {
    return this.#settle('reject', () => this.origin.channel.reject(this.message, false));
  }

  /** What we wrote on a copy. Believed only when the message was sent to this very queue by name: whoever may publish to an exchange cannot pretend. */
  #carried(header: string): unknown {
    const { exchange } = this.message.fields;
    if (exchange !== '' && exchange !== RETURN_EXCHANGE) return undefined;
    const headers: Record<string, unknown> | undefined = this.message.properties.headers;
    return headers !== undefined && Object.hasOwn(headers, header) ? headers[header] : undefined;
  }

  #carriedText(header: string): string | undefined {
    const value = this.#carried(header);
    return typeof value === 'string' ? value : undefined;
  }

  #carriedCount(header: string): number | undefined {
    const value = this.#carried(header);
    return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;
  }

  #settle(kind: SettlementKind, send: () => void): boolean {
    if (this.#settledAs !== undefined) return false;
    this.#settledAs = kind;
    if (!this.origin.isLive) {
      this.origin.stale(this, kind);
      return false;
    }
    try {
      send();
    } catch {
      // The channel ended in this very turn and its 'close' is still to come. Same meaning: the broker delivers again.
      this.origin.stale(this, kind);
      return false;
    }
    this.origin.settled(this, kind);
    return true;
  }
}

/** Own enumerable headers only: amqplib lets a header named `__proto__` replace the prototype of the object it makes. */
export function plainHeaders(headers: unknown): DeliveryHeaders {
  const plain = Object.create(null) as Record<string, unknown>;
  if (typeof headers === 'object' && headers !== null) {
    for (const key of Object.keys(headers)) plain[key] = (headers as Record<string, unknown>)[key];
  }
  return Object.freeze(plain);
}
