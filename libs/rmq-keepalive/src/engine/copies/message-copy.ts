/**
 * Our copies of a message: for a retry queue, for the dead-letter queue, for its own queue again. What they carry along of
 * the message, what they must not, and what we write on them.
 */
import type { MessageProperties, Options } from 'amqplib';
import { refuseUnreadable } from '../codec/readable.js';
import { withoutFields } from '../wire/field-table-slices.js';
import { ReceivedProperties } from '../wire/received-properties.js';
import type { MessageHeaders } from '../wire/message-headers.js';
import type { CarriedHeaders } from './copy-transport.js';
import { DELAY_HEADER, isRetryQueue } from './retry-queues.js';

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

/**
 * The broker's history of dead-lettering. Given back to it, a broker before 4.0 takes the copy for one that goes round in
 * circles, and drops it.
 */
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

/** What there is of a message to copy. */
interface CopiedMessage {
  readonly properties: MessageProperties;
  readonly headers: MessageHeaders;
}

/**
 * The message's own headers that a copy may have, as they came over the wire: a stranger who reads the copy finds the types
 * that the publisher wrote.
 * @param options.deaths `kept`: also the broker's history of dead-lettering, unless it tells of our retry queues
 * @throws {@link PayloadNotDecodableError} when they could not be read: without them it would be another message
 */
export function copiedHeaders(
  { properties, headers }: CopiedMessage,
  options: { without?: ReadonlySet<string>; deaths?: 'kept' | 'dropped' } = {},
): CarriedHeaders {
  refuseUnreadable(properties);
  const { without, deaths = 'dropped' } = options;
  const keepsDeaths = deaths === 'kept' && !isRetryQueue(headers['x-first-death-queue']);
  const isLeftOut = (name: string): boolean =>
    NEVER_COPIED.has(name) || without?.has(name) === true || (!keepsDeaths && DEATH_HEADERS.has(name));
  const table = ReceivedProperties.tableOf(properties);
  if (table !== undefined) return withoutFields(table, isLeftOut);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isLeftOut(name)));
}
