/** What users publish with. The class has public members only, so that a test double may simply implement it. */
import type { EventContract, EventInput } from '../contracts/event.js';
import type { OutgoingMessage } from './sending/outgoing-message.js';
import type { ManyToPublish, PublishManyOptions, PublishReport } from './publish-many.js';
import type { PublishOptions } from './publish-options.js';
import type { WhenReadyOptions } from './readiness.js';

/**
 * Publishes over one channel of the publishing link. Get one by constructor injection, as `connection.publisher`, or, with
 * an outbox or a habit of its own, from `connection.createPublisher()`.
 *
 * A loop that produces faster than the broker confirms:
 *
 * ```ts
 * for await (const row of rows) {
 *   await publisher.whenReady(); // link up, not blocked, room in the outbox: memory stays bounded
 *   publisher.publish('shop', 'order.imported', row).catch((error) => retryLater(row, error));
 * }
 * await publisher.flush(30_000);
 * ```
 *
 * or simply `await publisher.publishMany(messages)`.
 */
export abstract class RmqPublisher {
  /**
   * Publishes `payload` and resolves when the broker has confirmed it. While the link is down or blocked the message waits
   * in the outbox; after a lost link it is sent again under the same message id. Blocked is no failure: only `timeoutMs`
   * ends the wait.
   *
   * @throws {@link PublishReturnedError} no queue is bound for it (`mandatory`, the default)
   * @throws {@link PublishNackedError} the broker refused to store it
   * @throws {@link PublishRefusedError} no such exchange, no right to write, or headers that AMQP cannot carry
   * @throws {@link PublishTimeoutError} no confirm within `timeoutMs`
   * @throws {@link OutboxFullError} the outbox is at its bound
   * @throws {@link PublishAbortedError} `signal` fired
   * @throws {@link PublishClosedError} the connection was closed before the confirm
   * @throws {@link PayloadNotEncodableError} the codec cannot encode it
   * @throws {@link PayloadTooLargeError} larger than `publish.maxMessageBytes`
   * @throws {@link OptionsError} an argument or option that cannot work
   */
  abstract publish(exchange: string, routingKey: string, payload: unknown, options?: PublishOptions): Promise<void>;
  /**
   * Publishes what an event's contract describes, checked against its schema first.
   *
   * ```ts
   * const orderCreated = defineEvent({ exchange: 'shop', routingKey: 'order.created', schema: orderSchema });
   * await publisher.publish(orderCreated, { id: "1" });
   * ```
   * @throws {@link PayloadInvalidError} the payload does not match the schema; and whatever else `publish()` throws
   */
  abstract publish<E extends EventContract>(event: E, payload: EventInput<E>, options?: PublishOptions): Promise<void>;

  /** Publishes to one queue, through the default exchange. Otherwise as {@link publish}. */
  abstract sendToQueue(queue: string, payload: unknown, options?: PublishOptions): Promise<void>;

  /**
   * Publishes all messages of an array or an (async) iterable, in order, many at a time, taking the next one only when there
   * is room for it and the link is up. One that fails does not hide the others: the report has an error for each.
   *
   * ```ts
   * const report = await publisher.publishMany(rows.map((row) => ({ exchange: 'shop', routingKey: 'order.imported', payload: row })));
   * for (const { index, error } of report.failures) logger.error(`row ${index}: ${error.message}`);
   * ```
   */
  abstract publishMany(messages: ManyToPublish, options?: PublishManyOptions): Promise<PublishReport>;

  /** Whether a publish now would be taken without waiting for room. Says nothing about the link. */
  abstract readonly writable: boolean;

  /**
   * Resolves when the link is up, the broker does not block publishers, and the outbox has room.
   * @throws {@link NotReadyError} after `timeoutMs`, saying what is in the way
   * @throws {@link ConnectionClosedError} the connection was closed
   */
  abstract whenReady(options?: WhenReadyOptions): Promise<void>;

  /**
   * Resolves when nothing is left unconfirmed, or when `deadlineMs` have passed, or when nothing can be sent any more.
   * @returns how many are left
   */
  abstract flush(deadlineMs: number): Promise<number>;

  /** @internal Sends bytes as they are; the message id must be set. */
  abstract send(message: OutgoingMessage): Promise<void>;
}

export type { OutgoingMessage };
