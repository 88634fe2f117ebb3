/** The {@link RmqPublisher} of a connection: checks, encodes, and hands over to its outbox sender. */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../base/clock.js';
import type { Codec } from '../codec/codec.js';
import { type EventContract, isEventContract, validateAgainst } from '../contracts/event.js';
import { OptionsError } from '../errors/options-error.js';
import { PublishAbortedError, type PublishAddress, PublishRefusedError } from '../errors/publish-errors.js';
import { shown } from '../base/option-checks.js';
import type { OutboxSender } from './sending/outbox-sender.js';
import { compressedBody } from './compressed-body.js';
import { encodePayload } from './encode-payload.js';
import { Outgoing, type OutgoingMessage } from './sending/outgoing-message.js';
import { type ManyToPublish, type PublishManyOptions, publishMany, type PublishReport } from './publish-many.js';
import { checkPublish, NO_OPTIONS, type PublishOptions, type ResolvedPublishDefaults } from './publish-options.js';
import { RmqPublisher } from './rmq-publisher.js';
import { Readiness, type WhenReadyOptions } from './readiness.js';

export class EncodingPublisher extends RmqPublisher {
  readonly #codec: Codec;
  readonly #defaults: ResolvedPublishDefaults;
  readonly #sender: OutboxSender;
  readonly #clock: Clock;
  readonly #readiness: Readiness;

  constructor(codec: Codec, defaults: ResolvedPublishDefaults, sender: OutboxSender, clock: Clock) {
    super();
    this.#codec = codec;
    this.#defaults = defaults;
    this.#sender = sender;
    this.#clock = clock;
    this.#readiness = new Readiness(sender, clock);
  }

  override publish(
    target: string | EventContract,
    second: unknown,
    third?: unknown,
    fourth?: PublishOptions,
  ): Promise<void> {
    if (isEventContract(target)) return this.#publishEvent(target, second, third as PublishOptions | undefined);
    return this.#publishTo(target, second as string, third, fourth ?? NO_OPTIONS);
  }

  override sendToQueue(queue: string, payload: unknown, options: PublishOptions = NO_OPTIONS): Promise<void> {
    return this.#publishTo('', queue, payload, options);
  }

  override publishMany(messages: ManyToPublish, options: PublishManyOptions = {}): Promise<PublishReport> {
    const through = {
      publishOne: (message: unknown, given: PublishOptions) => this.#publishOne(message, given),
      whenReady: (given: WhenReadyOptions) => this.whenReady(given),
    };
    return publishMany(messages, options, through, this.#defaults.timeoutMs);
  }

  override get writable(): boolean {
    return this.#sender.room > 0;
  }

  override whenReady(options: WhenReadyOptions = {}): Promise<void> {
    return this.#readiness.wait(options);
  }

  override flush(deadlineMs: number): Promise<number> {
    return this.#sender.flush(deadlineMs);
  }

  override send(message: OutgoingMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = message;
      if (signal?.aborted === true) throw new PublishAbortedError(addressOf(message), signal.reason, false);
      this.#sender.send(this.#outgoing(message, resolve, reject));
    });
  }

  #publishTo(exchange: string, routingKey: string, payload: unknown, options: PublishOptions): Promise<void> {
    try {
      checkPublish(exchange, routingKey, options);
      const { messageId = freshId() } = options;
      const refusal = this.#sender.refuseIfFull({ exchange, routingKey, messageId });
      if (refusal !== undefined) return Promise.reject(refusal);
      return this.send(this.#encoded({ exchange, routingKey, messageId }, payload, options));
    } catch (thrown) {
      return Promise.reject(thrown);
    }
  }

  async #publishEvent(event: EventContract, payload: unknown, options?: PublishOptions): Promise<void> {
    // The payload as it was given: a schema that transforms it does so again for the consumer.
    if (event.schema !== undefined) await validateAgainst(event, payload);
    await this.#publishTo(event.exchange, event.routingKey, payload, options ?? NO_OPTIONS);
  }

  async #publishOne(message: unknown, options: PublishOptions): Promise<void> {
    if (typeof message !== 'object' || message === null)
      throw new OptionsError(
        'publishMany(messages)',
        `${shown(message)} is no message`,
        'Give { exchange, routingKey, payload }',
      );
    const { event, exchange, routingKey, payload } = message as Record<string, unknown>;
    if (isEventContract(event)) return this.#publishEvent(event, payload, options);
    return this.#publishTo(exchange as string, routingKey as string, payload, options);
  }

  #encoded(address: PublishAddress, payload: unknown, options: PublishOptions): OutgoingMessage {
    const { exchange, routingKey, messageId } = address;
    const { timeoutMs, mandatory, persistent, compress, contentType, contentEncoding } = options;
    const { timestamp, headers, correlationId, replyTo, expiration, priority, type, userId, appId, signal } = options;
    const encoded = encodePayload(this.#codec, payload, address, this.#defaults.maxMessageBytes);
    // A body with an encoding of its own is packed already.
    const body = contentEncoding === undefined ? compressedBody(encoded, compress ?? this.#defaults.compress) : encoded;
    return {
      exchange,
      routingKey,
      content: body.content,
      timeoutMs: timeoutMs ?? this.#defaults.timeoutMs,
      signal,
      options: {
        mandatory: mandatory ?? this.#defaults.mandatory,
        persistent: persistent ?? this.#defaults.persistent,
        messageId,
        headers,
        contentType: contentType ?? body.contentType,
        contentEncoding: contentEncoding ?? body.contentEncoding,
        timestamp: Math.floor((timestamp?.getTime() ?? this.#clock.wallClock()) / 1000),
        correlationId,
        replyTo,
        expiration,
        priority,
        type,
        userId,
        appId,
      },
    };
  }

  #outgoing(message: OutgoingMessage, resolve: () => void, reject: (error: Error) => void): Outgoing {
    const deadline = this.#clock.now() + message.timeoutMs;
    try {
      return new Outgoing(message, deadline, this.#sender.settled, resolve, reject);
    } catch (thrown) {
      throw new PublishRefusedError(addressOf(message), thrown, 'AMQP');
    }
  }
}

function addressOf({ exchange, routingKey, options }: OutgoingMessage): PublishAddress {
  return { exchange, routingKey, messageId: options.messageId as string };
}

/** A UUID as one string: as it comes, it is a tree of its twenty parts, several times as large, until somebody reads it. */
function freshId(): string {
  const id = randomUUID();
  id.charCodeAt(0);
  return id;
}
