/** What can be wrong with one delivery. */
import { reasonOf } from './reasons.js';
import { RmqError } from './rmq-error.js';

/** The body of a delivery cannot be turned into a value; the delivery goes to the dead-letter queue. */
export class PayloadNotDecodableError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_PAYLOAD_NOT_DECODABLE', `The body cannot be decoded: ${reason}`, options);
  }
}

/** A message is larger than `maxInboundBytes`: its body was not kept, so that it can be neither handled nor copied. */
export class MessageTooLargeError extends RmqError {
  constructor(
    readonly bytes: number,
    readonly maxBytes: number,
  ) {
    super(
      'RMQ_MESSAGE_TOO_LARGE',
      `The message takes ${bytes} bytes, more than maxInboundBytes (${maxBytes}), and its body was not kept. Raise ` +
        'maxInboundBytes, or take the message out of its queue by other means',
    );
  }
}

/** What a deduplication store is asked to do for one message. */
export type DeduplicationStep = 'claim' | 'renew' | 'done' | 'release';

const STEP_MEANINGS: Record<DeduplicationStep, string> = {
  claim: 'claim',
  renew: 'keep the claim on',
  done: 'remember',
  release: 'release the claim on',
};

/** The store that remembers handled messages failed; what follows from it is in the message. `cause` is the store's error. */
export class DeduplicationError extends RmqError {
  constructor(
    readonly step: DeduplicationStep,
    about: { subscription: string; messageId: string; consequence: string },
    cause: unknown,
  ) {
    super(
      'RMQ_DEDUPLICATION_FAILED',
      `The deduplication store of "${about.subscription}" could not ${STEP_MEANINGS[step]} message ` +
        `${about.messageId}: ${reasonOf(cause)}; ${about.consequence}`,
      { cause },
    );
  }
}

/** A message came back again and again without being settled, as if it killed whoever handles it; it was dead-lettered unseen. */
export class PoisonMessageError extends RmqError {
  constructor(redeliveries: number, maxRedeliveries: number) {
    super(
      'RMQ_POISON_MESSAGE',
      `The message came back ${redeliveries} times without being settled, more than maxRedeliveries ` +
        `(${maxRedeliveries}): it may kill the process that handles it. Mend the handler, then replay the dead letter`,
    );
  }
}

/** A quorum queue would drop the message at its delivery limit, and no copy can be made of it; it was dead-lettered unseen. */
export class DeliveryLimitError extends RmqError {
  constructor(queue: string, returns: number) {
    super(
      'RMQ_DELIVERY_LIMIT',
      `The message came back to queue "${queue}" ${returns} times, which drops it at its delivery limit, and it ` +
        'cannot be copied to the end of the queue: its headers are too large beside ours. Publish it with smaller ' +
        'headers, or replay the dead letter',
    );
  }
}

/** What took too long, and what its writer can do about it. */
const LATE_PARTS = {
  handler: { what: 'No end', wayOut: 'Let the handler end when delivery.signal aborts, or raise the limit' },
  settlement: {
    what: 'Not settled',
    wayOut: 'Call ack(), requeue() or reject() on every path, also when the work fails, or raise the limit',
  },
  schema: { what: "No answer of the event's schema", wayOut: 'Give it what answers sooner, or raise the limit' },
} as const;

/** From here on a raised limit meets the broker's own, which is 30 minutes by default. */
const NEAR_CONSUMER_TIMEOUT_MS = 15 * 60_000;

/**
 * A handler (or, with `ack: 'manual'`, whoever settles; or the schema of the event) took longer than `handlerTimeoutMs`. The
 * delivery goes the way of a failed one. The handler may still be running, beside another attempt; what it settles is a no-op.
 */
export class HandlerTimeoutError extends RmqError {
  constructor(
    readonly subscription: string,
    readonly timeoutMs: number,
    late: keyof typeof LATE_PARTS = 'handler',
  ) {
    const { what, wayOut } = LATE_PARTS[late];
    const brokersLimit =
      timeoutMs < NEAR_CONSUMER_TIMEOUT_MS
        ? ''
        : ", and the broker's consumer_timeout (30 minutes by default) and ackTimeoutMs with it";
    super('RMQ_HANDLER_TIMEOUT', `${what} within handlerTimeoutMs (${timeoutMs} ms). ${wayOut}${brokersLimit}`);
  }
}

/** What one rule of a contract's schema has against a payload: where, and why. Never the value itself. */
export interface PayloadIssue {
  /** Dotted, as in `items.0.price`; empty for the payload as a whole. */
  readonly path: string;
  readonly message: string;
}

/** The payload does not match the schema of its contract. Nothing was sent; a delivery goes to the dead-letter queue. */
export class PayloadInvalidError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  constructor(
    contract: { readonly exchange: string; readonly routingKey: string },
    readonly issues: readonly PayloadIssue[],
    options?: { cause?: unknown },
  ) {
    const shownIssues = issues.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    const more = issues.length > 5 ? `; and ${issues.length - 5} more` : '';
    super(
      'RMQ_PAYLOAD_INVALID',
      `The payload does not match the schema of event "${contract.routingKey}" on exchange "${contract.exchange}": ` +
        `${shownIssues.join('; ')}${more}`,
      options,
    );
    this.exchange = contract.exchange;
    this.routingKey = contract.routingKey;
  }
}

/** Something around a delivery or a publish has called what it was given a second time; the first call goes on. */
export class AroundCalledTwiceError extends RmqError {
  constructor(around: 'around.deliver' | 'around.publish', what: 'handle' | 'send') {
    super(
      'RMQ_AROUND_CALLED_TWICE',
      `${around} called ${what}() a second time for the same message. Call it once; to try again, throw or return a Settlement`,
    );
  }
}
