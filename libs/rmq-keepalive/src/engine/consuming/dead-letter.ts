/**
 * Moves a delivery to its dead-letter queue: published there with a confirm and reason headers, then acked by the caller.
 *
 * Moving, instead of a dead-letter exchange on the queue: the queue's arguments stay as they are, so an existing queue
 * never conflicts (406), and the reason travels with the message.
 */
import type { Options } from 'amqplib';
import { errorNameOf, PublishRefusedError, PublishReturnedError, reasonOf } from '../errors.js';
import type { OutgoingMessage, RmqPublisher } from '../publishing/publisher.js';
import type { Delivery } from './delivery.js';

export type DeadLetterReason = 'handler-failed' | 'not-decodable' | 'rejected';

/** Headers that tell where a dead letter came from and why it is there. */
export const DEAD_LETTER_HEADERS = {
  reason: 'x-dead-reason',
  errorName: 'x-dead-error-name',
  errorMessage: 'x-dead-error-message',
  subscription: 'x-dead-subscription',
  queue: 'x-dead-queue',
  exchange: 'x-dead-exchange',
  routingKey: 'x-dead-routing-key',
  at: 'x-dead-at',
  /** Set when the message's own headers and properties could not be taken along. */
  stripped: 'x-dead-stripped',
} as const;

const MAX_ERROR_MESSAGE_LENGTH = 500;
const TIMEOUT_MS = 30_000;

/** CC and BCC would route copies to other queues. */
const ROUTING_HEADERS = new Set(['CC', 'BCC']);

export async function moveToDeadLetters(
  delivery: Delivery,
  queue: string,
  why: { reason: DeadLetterReason; error?: unknown; at: number },
  through: { publisher: RmqPublisher; declare(queue: string): Promise<void> },
): Promise<void> {
  const reasons = reasonHeaders(delivery, why);
  const letter = { exchange: '', routingKey: queue, content: delivery.body, timeoutMs: TIMEOUT_MS };
  const options = { ...keptProperties(delivery, why), headers: { ...keptHeaders(delivery), ...reasons } };
  const send = async (message: OutgoingMessage): Promise<void> => {
    try {
      await through.publisher.send(message);
    } catch (thrown) {
      if (!(thrown instanceof PublishReturnedError)) throw thrown;
      // Nobody has needed the queue yet, or somebody deleted it.
      await through.declare(queue);
      await through.publisher.send(message);
    }
  };
  try {
    await send({ ...letter, options });
  } catch (thrown) {
    if (!(thrown instanceof PublishRefusedError)) throw thrown;
    // Some headers and properties can be received but not sent again (too large, a type that amqplib cannot write). The
    // body is what matters; held back for its headers, a few such messages would use up the prefetch for ever.
    const { messageId } = options;
    const bare = { messageId, persistent: true, mandatory: true, contentType: options.contentType };
    await send({ ...letter, options: { ...bare, headers: { ...reasons, [DEAD_LETTER_HEADERS.stripped]: true } } });
  }
}

/**
 * The message's own properties, without what would make it vanish or be refused: `expiration` would expire the dead
 * letter too, and the broker refuses a `userId` that is not ours.
 */
function keptProperties(delivery: Delivery, why: { at: number }): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, type, appId, priority, timestamp } =
    delivery.properties as Options.Publish;
  return {
    contentType,
    contentEncoding,
    correlationId,
    replyTo,
    type,
    appId,
    priority,
    timestamp,
    messageId: delivery.messageId ?? `dead-${delivery.subscription}-${delivery.deliveryTag}-${why.at}`.slice(0, 255),
    persistent: true,
    mandatory: true,
  };
}

function keptHeaders(delivery: Delivery): Record<string, unknown> {
  return Object.fromEntries(Object.entries(delivery.headers).filter(([name]) => !ROUTING_HEADERS.has(name)));
}

function reasonHeaders(
  delivery: Delivery,
  why: { reason: DeadLetterReason; error?: unknown; at: number },
): Record<string, unknown> {
  const headers: Record<string, unknown> = {
    [DEAD_LETTER_HEADERS.reason]: why.reason,
    [DEAD_LETTER_HEADERS.subscription]: delivery.subscription,
    [DEAD_LETTER_HEADERS.queue]: delivery.queue,
    [DEAD_LETTER_HEADERS.exchange]: delivery.exchange,
    [DEAD_LETTER_HEADERS.routingKey]: delivery.routingKey,
    [DEAD_LETTER_HEADERS.at]: new Date(why.at).toISOString(),
  };
  if (why.error !== undefined) {
    headers[DEAD_LETTER_HEADERS.errorName] = errorNameOf(why.error);
    headers[DEAD_LETTER_HEADERS.errorMessage] = reasonOf(why.error).slice(0, MAX_ERROR_MESSAGE_LENGTH);
  }
  return headers;
}
