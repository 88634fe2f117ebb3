/**
 * Moves a delivery to its dead-letter queue: published there with a confirm and reason headers, then acked by the caller.
 *
 * Moving, instead of a dead-letter exchange on the queue: the queue's arguments stay as they are, so an existing queue
 * never conflicts (406), and the reason travels with the message.
 */
import type { Options } from 'amqplib';
import { declareEntities } from '../topology/declare-topology.js';
import type { Link } from '../connection/link.js';
import { asError, PublishReturnedError, reasonOf } from '../errors.js';
import type { RmqPublisher } from '../publishing/publisher.js';
import { toQueue } from '../topology/topology.js';
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
} as const;

const MAX_ERROR_MESSAGE_LENGTH = 500;
const TIMEOUT_MS = 30_000;

/** CC and BCC would route copies to other queues. */
const ROUTING_HEADERS = new Set(['CC', 'BCC']);

export async function moveToDeadLetters(
  delivery: Delivery,
  queue: string,
  why: { reason: DeadLetterReason; error?: unknown; at: number },
  through: { publisher: RmqPublisher; link(): Promise<Link> },
): Promise<void> {
  const message = {
    exchange: '',
    routingKey: queue,
    content: delivery.body,
    options: deadLetterProperties(delivery, why),
    timeoutMs: TIMEOUT_MS,
  };
  try {
    await through.publisher.send(message);
  } catch (thrown) {
    if (!(thrown instanceof PublishReturnedError)) throw thrown;
    // Nobody has needed the queue yet, or somebody deleted it.
    await declareDeadLetterQueue(await through.link(), queue);
    await through.publisher.send(message);
  }
}

async function declareDeadLetterQueue(link: Link, name: string): Promise<void> {
  let refusal: Error | undefined;
  await declareEntities(link, [toQueue({ name }, 'deadLetter')], {
    declared: () => undefined,
    refused: (_, cause) => (refusal = cause),
  });
  if (refusal !== undefined) throw refusal;
}

/**
 * The message's own properties, without what would make it vanish or be refused: `expiration` would expire the dead
 * letter too, and the broker refuses a `userId` that is not ours.
 */
function deadLetterProperties(
  delivery: Delivery,
  why: { reason: DeadLetterReason; error?: unknown; at: number },
): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, type, appId, priority, timestamp } =
    delivery.properties as Options.Publish;
  const headers: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(delivery.headers)) if (!ROUTING_HEADERS.has(name)) headers[name] = value;
  headers[DEAD_LETTER_HEADERS.reason] = why.reason;
  headers[DEAD_LETTER_HEADERS.subscription] = delivery.subscription;
  headers[DEAD_LETTER_HEADERS.queue] = delivery.queue;
  headers[DEAD_LETTER_HEADERS.exchange] = delivery.exchange;
  headers[DEAD_LETTER_HEADERS.routingKey] = delivery.routingKey;
  headers[DEAD_LETTER_HEADERS.at] = new Date(why.at).toISOString();
  if (why.error !== undefined) {
    headers[DEAD_LETTER_HEADERS.errorName] = asError(why.error).name;
    headers[DEAD_LETTER_HEADERS.errorMessage] = reasonOf(why.error).slice(0, MAX_ERROR_MESSAGE_LENGTH);
  }
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
    headers,
    persistent: true,
    mandatory: true,
  };
}
