/**
 * A message on its way to a handler, with its AMQP facts, tied to the channel it came on.
 *
 * Danger: after a reconnect the same delivery tag means another message, or closes the channel with 406. So a delivery
 * whose channel is gone settles nothing: the call is dropped and counted, and the broker delivers the message again.
 */
import type { ConsumeMessage, MessageProperties } from 'amqplib';
import {
  ORIGIN_HEADERS,
  REDELIVERY_COUNT_HEADER,
  RENEWAL_COUNT_HEADER,
  RETRY_HEADERS,
  RETURN_EXCHANGE,
} from '../../copies/carried-headers.js';
import type { CopyClaim, CopySignatures } from '../../copies/copy-signatures.js';
import type { SettlementKind } from './settlement.js';
import { type MessageHeaders, plainHeaders } from '../../wire/message-headers.js';

/** What ties a delivery to its channel; made anew for every channel. */
export interface DeliveryOrigin {
  /** False once the channel or its link is gone. */
  readonly isLive: boolean;
  /** With `ack: 'none'` the broker has forgotten the message before it came: there is nothing to settle. */
  readonly needsSettling: boolean;
  readonly signatures: CopySignatures;
  /** Whether it can be given back to its queue at all; a stream takes nothing back. */
  readonly takesBack: boolean;
  /** Says it to the broker, or will at the end of this turn. Throws when the channel is over. */
  settle(delivery: Delivery, kind: SettlementKind): void;
  /** A settlement came too late. */
  stale(delivery: Delivery, kind: SettlementKind): void;
  /** Resolves when the broker has read what was settled so far, or the channel is gone. */
  acksRead(): Promise<void>;
  /** `successor` settles from now on, in the place of a delivery with the same tag. */
  replaced(successor: Delivery): void;
}

const STREAM_OFFSET_HEADER = 'x-stream-offset';

/**
 * A message on its way to a handler, with its AMQP facts, tied to the channel that it came on. A handler settles it by returning,
 * by throwing or with a `Settlement`; with `ack: 'manual'` it calls `ack()`, `requeue()` or `reject()` here.
 *
 * ```ts
 * async onCreated(@Payload() order: Order, @Ctx() delivery: Delivery): Promise<void> {
 *   if (delivery.attempt > 1) logger.log(`attempt ${delivery.attempt} of ${delivery.messageId}`);
 *   await fetch(url, { method: 'POST', body: JSON.stringify(order), signal: delivery.signal });
 * }
 * ```
 */
export class Delivery {
  readonly #message: ConsumeMessage;
  readonly #origin: DeliveryOrigin;
  #believed: Pick<CopyClaim, 'exchange' | 'routingKey'> | 'nothing' | undefined;
  #settledAs: SettlementKind | 'taken-over' | undefined;
  #headers: MessageHeaders | undefined;
  #aborting: AbortController | undefined;
  #onAbort: ((cause: Error) => void) | undefined;
  /** @internal What whoever watches has noted of it. */
  noted: unknown;

  constructor(
    /** The queue it came from; for a server-named queue the broker's name of it. */
    readonly queue: string,
    /** The subscription's name. */
    readonly subscription: string,
    message: ConsumeMessage,
    origin: DeliveryOrigin,
  ) {
    this.#message = message;
    this.#origin = origin;
    if (!origin.needsSettling) this.#settledAs = 'ack';
  }

  /** The exchange it was published to first, also when it comes back as a retry or a replay. */
  get exchange(): string {
    return this.#carriedOrigin?.exchange ?? this.#message.fields.exchange;
  }

  /** The routing key it was published with first, as {@link exchange}. */
  get routingKey(): string {
    return this.#carriedOrigin?.routingKey ?? this.#message.fields.routingKey;
  }

  /** False: certainly never delivered before, or as a message that was tried and failed ({@link attempt}). True: perhaps. */
  get redelivered(): boolean {
    return this.#message.fields.redelivered || this.redeliveries > 0 || this.renewals > 0;
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

  /** @internal How often it came back from the hands of somebody who was gone, as we counted. */
  get redeliveries(): number {
    return this.#carriedCount(REDELIVERY_COUNT_HEADER) ?? 0;
  }

  /** @internal How often it was copied to the end of its quorum queue. */
  get renewals(): number {
    return this.#carriedCount(RENEWAL_COUNT_HEADER) ?? 0;
  }

  /**
   * As amqplib handed it over. A tracing agent that stands around amqplib knows a delivery by this very object: settled with
   * another one, its span would stay open.
   * @internal
   */
  get message(): ConsumeMessage {
    return this.#message;
  }

  /** @internal As the broker said it; {@link redelivered} also knows what we counted. */
  get isBack(): boolean {
    return this.#message.fields.redelivered;
  }

  /** Unique on its channel only. */
  get deliveryTag(): number {
    return this.#message.fields.deliveryTag;
  }

  /** @internal A new one for every consumer of the subscription. */
  get consumerTag(): string {
    return this.#message.fields.consumerTag;
  }

  get messageId(): string | undefined {
    const id: unknown = this.#message.properties.messageId;
    return typeof id === 'string' ? id : undefined;
  }

  /** The AMQP properties as they came; for headers prefer {@link headers}. */
  get properties(): MessageProperties {
    return this.#message.properties;
  }

  /** The headers as own properties of an object without a prototype, so that a header named `__proto__` can do nothing. */
  get headers(): MessageHeaders {
    return (this.#headers ??= plainHeaders(this.#message.properties.headers));
  }

  /** Its place in a stream, counted from 0; `undefined` if it did not come from one. */
  get streamOffset(): number | undefined {
    const offset: unknown = this.#message.properties.headers?.[STREAM_OFFSET_HEADER];
    return typeof offset === 'number' ? offset : undefined;
  }

  /** The raw body. */
  get body(): Buffer {
    return this.#message.content;
  }

  /** False once its channel or link is gone: whatever the handler does now, the broker delivers the message again. */
  get isLive(): boolean {
    return this.#origin.isLive;
  }

  /** @internal How it was settled, by whoever did. */
  get settledAs(): SettlementKind | 'taken-over' | undefined {
    return this.#settledAs;
  }

  /** True as well when somebody else settles it: after `handlerTimeoutMs`, and with `ack: 'none'`. */
  get isSettled(): boolean {
    return this.#settledAs !== undefined;
  }

  /**
   * Aborts when the work is for nothing: `handlerTimeoutMs` are over, the channel or link is lost (the message is delivered
   * again), or the connection closes and can wait no longer. `signal.reason` is the error that says which. Hand it to
   * `fetch`, timers, database drivers.
   */
  get signal(): AbortSignal {
    return (this.#aborting ??= new AbortController()).signal;
  }

  /** The broker may forget the message. Returns false when there was nothing to settle: settled before, or stale. */
  ack(): boolean {
    return this.#settle('ack');
  }

  /**
   * Back to the queue, at once. Quorum queues count that before RabbitMQ 4.3; their limit is not reached, see
   * `docs/guides/retries.md`. A stream takes nothing back: returns false.
   */
  requeue(): boolean {
    return this.#origin.takesBack && this.#settle('requeue');
  }

  /**
   * As {@link requeue} where the consumer ends: a stream delivers it again to the next one, which begins there.
   * @internal
   */
  leave(): boolean {
    return this.#settle('requeue');
  }

  /** Dropped by the broker, or sent to the queue's own dead-letter exchange. Of a stream: passed over. */
  reject(): boolean {
    return this.#settle('reject');
  }

  /** @internal Resolves when the broker has read what was settled on this channel so far, or the channel is gone. */
  acksRead(): Promise<void> {
    return this.#origin.acksRead();
  }

  /** Tells the handler, if it asked for a {@link signal} or still does. @internal */
  abort(cause: Error): void {
    (this.#aborting ??= new AbortController()).abort(cause);
    this.#onAbort?.(cause);
  }

  /** Calls `told` with the cause of each {@link abort}: the signal knows the first one only. @internal */
  onAbort(told: (cause: Error) => void): void {
    this.#onAbort = told;
  }

  /**
   * Takes the delivery out of the hands of its handler: what that settles from now on is a no-op, counted unless it had
   * settled the delivery itself.
   * @returns the same delivery for whoever settles it instead
   * @internal
   */
  takeOver(): Delivery {
    const successor = new Delivery(this.queue, this.subscription, this.#message, this.#origin);
    successor.noted = this.noted;
    this.#settledAs ??= 'taken-over';
    this.#origin.replaced(successor);
    return successor;
  }

  /** The facts, for logs: neither the body nor the values of headers. */
  toJSON(): Record<string, unknown> {
    const { queue, subscription, exchange, routingKey, redelivered, deliveryTag, messageId, streamOffset } = this;
    return {
      queue,
      subscription,
      exchange,
      routingKey,
      redelivered,
      deliveryTag,
      messageId,
      streamOffset,
      contentType: this.properties.contentType as unknown,
      bytes: this.body.length,
      isSettled: this.isSettled,
      isLive: this.isLive,
    };
  }

  /**
   * What we wrote on a copy. Believed only when the message was sent to this very queue by name: whoever may publish to an
   * exchange cannot pretend.
   */
  #carried(header: string): unknown {
    const { exchange } = this.#message.fields;
    if (exchange !== '' && exchange !== RETURN_EXCHANGE) return undefined;
    const headers: Record<string, unknown> | undefined = this.#message.properties.headers;
    return headers !== undefined && Object.hasOwn(headers, header) ? headers[header] : undefined;
  }

  /** Where a copy says that the message was published to; believed as {@link CopySignatures} says. */
  get #carriedOrigin(): Pick<CopyClaim, 'exchange' | 'routingKey'> | undefined {
    if (this.#believed === undefined) {
      const exchange = this.#carriedText(ORIGIN_HEADERS.exchange);
      const routingKey = this.#carriedText(ORIGIN_HEADERS.routingKey);
      if (exchange === undefined || routingKey === undefined) return undefined;
      const { queue, messageId, body } = this;
      const claim = { queue, exchange, routingKey, messageId, body };
      const signature = this.#carried(ORIGIN_HEADERS.signature);
      this.#believed = this.#origin.signatures.believes('origin', claim, signature) ? claim : 'nothing';
    }
    return this.#believed === 'nothing' ? undefined : this.#believed;
  }

  #carriedText(header: string): string | undefined {
    const value = this.#carried(header);
    return typeof value === 'string' ? value : undefined;
  }

  #carriedCount(header: string): number | undefined {
    const value = this.#carried(header);
    return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;
  }

  #settle(kind: SettlementKind): boolean {
    if (this.#settledAs !== undefined) {
      if (this.#settledAs === 'taken-over') this.#origin.stale(this, kind);
      return false;
    }
    this.#settledAs = kind;
    if (!this.#origin.isLive) {
      this.#origin.stale(this, kind);
      return false;
    }
    try {
      this.#origin.settle(this, kind);
    } catch {
      // The channel ended in this very turn and its 'close' is still to come. Same meaning: the broker delivers again.
      this.#origin.stale(this, kind);
      return false;
    }
    return true;
  }
}
