/** How one publish can end other than with its confirm. */
import { ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED } from './reply-codes.js';
import { reasonOf, replyCodeOf } from './reasons.js';
import { RmqError, type RmqErrorCode } from './rmq-error.js';

/** What a failed publish was about; never its payload. */
export interface PublishAddress {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
}

/**
 * Base of the errors that `publish()` rejects with.
 *
 * ```ts
 * await publisher.publish('shop', 'order.created', order).catch((error: unknown) => {
 *   if (error instanceof PublishReturnedError) return alerts.raise('nobody takes orders', error.routingKey, error.replyText);
 *   if (error instanceof PublishTimeoutError && !error.wasSent) return offerLess(order);
 *   if (error instanceof PublishError) logger.error(`${error.messageId}: ${error.message}`);
 * });
 * ```
 */
export class PublishError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  constructor(code: RmqErrorCode, address: PublishAddress, reason: string, options?: { cause?: unknown }) {
    super(code, `Message ${address.messageId} to ${targetOf(address)} ${reason}`, options);
    this.exchange = address.exchange;
    this.routingKey = address.routingKey;
    this.messageId = address.messageId;
  }
}

export function targetOf({ exchange, routingKey }: { exchange: string; routingKey: string }): string {
  return exchange === '' ? `queue "${routingKey}"` : `exchange "${exchange}" with routing key "${routingKey}"`;
}

/** A codec knows no address; `publish()` fills it in. */
const NO_ADDRESS: PublishAddress = { exchange: '', routingKey: '', messageId: '' };

/**
 * The payload cannot be turned into bytes (a cycle, a BigInt, a function). Exchange, routing key and message id are empty
 * when a codec was called by itself.
 */
export class PayloadNotEncodableError extends PublishError {
  constructor(
    readonly reason: string,
    options: { cause?: unknown; address?: PublishAddress } = {},
  ) {
    super('RMQ_PAYLOAD_NOT_ENCODABLE', options.address ?? NO_ADDRESS, `cannot be encoded: ${reason}`, options);
    if (options.address === undefined) this.message = `The payload cannot be encoded: ${reason}`;
  }
}

/** The body is larger than `option` allows. Raise it, and the broker's `max_message_size`, or send a reference instead. */
export class PayloadTooLargeError extends PublishError {
  constructor(
    /** Size of the body; when counting stopped early, at least so many. */
    readonly bytes: number,
    readonly maxBytes: number,
    /** The option that says so: `publish.maxMessageBytes` or `json.maxBytes`. */
    readonly option: string,
    address?: PublishAddress,
  ) {
    const reason =
      `at least ${bytes} bytes are more than ${option} (${maxBytes}). Raise it, and the broker's max_message_size, ` +
      'or send a reference to the data instead';
    super('RMQ_PAYLOAD_TOO_LARGE', address ?? NO_ADDRESS, `is too large: ${reason}`);
    if (address === undefined) this.message = `The payload is too large: ${reason}`;
  }
}

/** The broker said no (basic.nack): the queue is full with overflow "reject-publish", or it could not store the message. */
export class PublishNackedError extends PublishError {
  constructor(address: PublishAddress) {
    super(
      'RMQ_PUBLISH_NACKED',
      address,
      'was nacked by the broker: a queue refused it (length limit with reject-publish) or could not store it. ' +
        'Publish again later, or raise the limit',
    );
  }
}

/** No queue is bound for this routing key: the message would have been lost without `mandatory`. */
export class PublishReturnedError extends PublishError {
  constructor(
    address: PublishAddress,
    readonly replyCode: number,
    readonly replyText: string,
  ) {
    super(
      'RMQ_PUBLISH_RETURNED',
      address,
      `was returned as unroutable (${replyCode} ${replyText}): no queue is bound for it. Bind one, or publish with mandatory: false`,
    );
  }
}

/**
 * The broker closed the channel because of this very message (404 no such exchange, 403 no right to write, 406 ...), or AMQP
 * cannot carry its headers.
 */
export class PublishRefusedError extends PublishError {
  constructor(address: PublishAddress, cause: unknown, by: 'the broker' | 'AMQP' = 'the broker') {
    super(
      'RMQ_PUBLISH_REFUSED',
      address,
      by === 'AMQP'
        ? `cannot be sent over AMQP: ${reasonOf(cause)}. Change its headers or properties`
        : `was refused by the broker: ${reasonOf(cause)}. ${wayOutOf(replyCodeOf(cause))}`,
      { cause },
    );
  }
}

function wayOutOf(replyCode: number | undefined): string {
  switch (replyCode) {
    case NOT_FOUND:
      return 'Declare the exchange, then publish again';
    case ACCESS_REFUSED:
      return 'Grant the user the right to write to it, then publish again';
    case PRECONDITION_FAILED:
      return 'Change what the broker names there, then publish again';
    default:
      return 'Change its headers or properties: nothing else of a message makes a broker do that';
  }
}

/**
 * No confirm within the time limit. The message may or may not have arrived: publish again under the same messageId. While
 * the broker is away, `cause` is the last failed attempt, or the loss.
 */
export class PublishTimeoutError extends PublishError {
  constructor(
    address: PublishAddress,
    timeoutMs: number,
    readonly wasSent: boolean,
    cause?: unknown,
  ) {
    const because = cause === undefined ? '' : ` (${reasonOf(cause)})`;
    super(
      'RMQ_PUBLISH_TIMEOUT',
      address,
      wasSent
        ? `got no confirm within ${timeoutMs} ms${because}. It may have arrived: publish again under the same messageId`
        : `could not be sent within ${timeoutMs} ms${because} and was taken back; it has not reached the broker. ` +
            'Publish again when the connection is open',
      { cause },
    );
  }
}

/** The caller's AbortSignal fired before the confirm. */
export class PublishAbortedError extends PublishError {
  constructor(
    address: PublishAddress,
    cause: unknown,
    /** It may have arrived all the same. */
    readonly wasSent: boolean,
  ) {
    const fate = wasSent ? 'it was sent and may have arrived' : 'it was never sent';
    super('RMQ_PUBLISH_ABORTED', address, `was aborted by its signal before the confirm; ${fate}`, { cause });
  }
}

/** The outbox is at its bound. The message was never sent. */
export class OutboxFullError extends PublishError {
  readonly wasSent = false;
  constructor(address: PublishAddress, what: string) {
    super('RMQ_OUTBOX_FULL', address, `${what}, its bound. Slow down, or raise outbox.maxMessages / outbox.maxBytes`);
  }
}

/** The connection was closed before the confirm, or before the call. */
export class PublishClosedError extends PublishError {
  constructor(
    address: PublishAddress,
    /** It may have arrived all the same. */
    readonly wasSent: boolean,
  ) {
    const fate = wasSent ? 'it was sent and may have arrived' : 'it was never sent';
    super('RMQ_CLOSED', address, `was not confirmed before the connection was closed; ${fate}`);
  }
}

/** What stands around the publishes (`around.publish`) failed for this one: `cause` says how. */
export class PublishAroundError extends PublishError {
  constructor(
    address: PublishAddress,
    cause: unknown,
    /** `confirmed`: the message is with the broker all the same (without confirms: it was written to the socket). */
    readonly fate: 'not-sent' | 'confirmed',
  ) {
    const consequence =
      fate === 'not-sent'
        ? 'It was not sent: mend the around, then publish again'
        : 'It was sent and confirmed before: mend the around, and do not publish again';
    super(
      'RMQ_PUBLISH_AROUND_FAILED',
      address,
      `met an around.publish that failed: ${reasonOf(cause)}. ${consequence}`,
      {
        cause,
      },
    );
  }
}

/** `whenReady()` ran out of time. */
export class NotReadyError extends RmqError {
  constructor(timeoutMs: number, why: string, cause?: unknown) {
    const because = cause === undefined ? '' : ` (${reasonOf(cause)})`;
    super('RMQ_NOT_READY', `The publisher was not ready within ${timeoutMs} ms: ${why}${because}`, { cause });
  }
}
