/**
 * Our copies of a message: for a retry queue, for the dead-letter queue, for its own queue again. What they carry along of
 * the message, what they must not, and what we write on them.
 */
import type { MessageProperties, Options } from 'amqplib';
import type { MessageHeaders } from '../delivery.js';
import { DELAY_HEADER, isRetryQueue } from './retry-queues.js';

/** Where the message was published to first; `delivery.exchange` and `delivery.routingKey` read these. */
export const ORIGIN_HEADERS = {
  exchange: 'x-origin-exchange',
  routingKey: 'x-origin-routing-key',
} as const;

/** What a message carries that is tried again. */
export const RETRY_HEADERS = {
  /** The number of the attempt that this copy is for: 2 is the first repetition. */
  attempt: 'x-retry-attempt',
  /** When a handler got the message for the first time; ISO 8601. */
  firstSeen: 'x-retry-first-seen',
  /** Name and message (bounded, no stack) of the error that it failed with first. */
  firstErrorName: 'x-retry-first-error-name',
  firstErrorMessage: 'x-retry-first-error-message',
} as const;

/** How often the message came back to a classic queue without being settled, its consumer gone. */
export const REDELIVERY_COUNT_HEADER = 'x-redelivery-count';

/** Longer messages of errors are cut: a header table has to fit into one frame. */
export const MAX_ERROR_MESSAGE_LENGTH = 500;

/** CC and BCC would route copies to other queues; the counts are the broker's, about the message that the copy replaces. */
const NEVER_COPIED: ReadonlySet<string> = new Set([
  'CC',
  'BCC',
  'x-delivery-count',
  'x-acquired-count',
  'x-stream-offset',
  DELAY_HEADER,
]);

/** The broker's history of dead-lettering. Given back to it, a broker before 4.0 takes the copy for one that goes round in circles, and drops it. */
const DEATH_HEADERS: ReadonlySet<string> = new Set([
  'x-death',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
]);

/**
 * The message's own properties, without what would make it vanish or be refused: `expiration` would expire the copy where
 * it waits, and the broker refuses a `userId` that is not ours.
 */
export function copiedProperties(properties: MessageProperties): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, type, appId, priority, timestamp, messageId } =
    properties as Options.Publish;
  return {
    contentType,
    contentEncoding,
    correlationId,
    replyTo,
    type,
    appId,
    priority,
    timestamp,
    messageId,
    persistent: true,
    mandatory: true,
  };
}

/**
 * The message's own headers that a copy may have.
 * @param options.deaths `kept`: also the broker's history of dead-lettering, unless it tells of our retry queues
 */
export function copiedHeaders(
  headers: MessageHeaders,
  options: { without?: ReadonlySet<string>; deaths?: 'kept' | 'dropped' } = {},
): Record<string, unknown> {
  const { without, deaths = 'dropped' } = options;
  const keepsDeaths = deaths === 'kept' && !isRetryQueue(headers['x-first-death-queue']);
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !NEVER_COPIED.has(name) && without?.has(name) !== true && (keepsDeaths || !DEATH_HEADERS.has(name)),
    ),
  );
}
