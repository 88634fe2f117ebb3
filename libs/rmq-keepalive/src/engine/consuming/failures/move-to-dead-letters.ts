/**
 * Moves a delivery to its dead-letter queue: published there with a confirm and reason headers, then acked by the caller.
 *
 * Moving, instead of a dead-letter exchange on the queue: the queue's arguments stay as they are, so an existing queue
 * never conflicts (406), and the reason travels with the message.
 */
import { refuseWithoutBody } from '../../codec/readable.js';
import { failureReasonOf } from '../../errors/failure-reasons.js';
import { errorNameOf } from '../../errors/reasons.js';
import { toQueue } from '../../topology/topology.js';
import { ReceivedProperties } from '../../wire/received-properties.js';
import { type Copy, type CopyTransport, sendCopy } from '../../copies/copy-transport.js';
import type { Delivery } from '../delivery/delivery.js';
import { copiedHeaders, copiedProperties, MAX_ERROR_MESSAGE_LENGTH } from '../../copies/message-copy.js';
import type { DeadLetterReason } from '../delivery/settlement.js';

/**
 * Headers that tell where a dead letter came from and why it is there.
 *
 * ```ts
 * @Subscribe({ queue: 'orders.dead' })
 * onDeadOrder(@DeliveryHeaders(DEAD_LETTER_HEADERS.reason) reason: string): void {
 *   alerts.raise(reason);
 * }
 * ```
 */
export const DEAD_LETTER_HEADERS = {
  reason: 'x-dead-reason',
  errorName: 'x-dead-error-name',
  errorMessage: 'x-dead-error-message',
  subscription: 'x-dead-subscription',
  queue: 'x-dead-queue',
  exchange: 'x-dead-exchange',
  routingKey: 'x-dead-routing-key',
  /** Of these three: see copy-signatures.ts. */
  signature: 'x-dead-signature',
  at: 'x-dead-at',
  /** How often it was tried. */
  attempts: 'x-dead-attempts',
  /** When a handler got it for the first time. */
  firstSeen: 'x-dead-first-seen',
  /** Set when the message's own headers and properties could not be taken along. */
  stripped: 'x-dead-stripped',
} as const;

interface DeathCertificate {
  readonly reason: DeadLetterReason;
  readonly error?: unknown;
  /** Epoch ms. */
  readonly at: number;
}

/** Resolves on the confirm. */
export async function moveToDeadLetters(
  delivery: Delivery,
  queue: string,
  why: DeathCertificate,
  transport: CopyTransport,
): Promise<void> {
  refuseWithoutBody(delivery.properties);
  const messageId =
    delivery.messageId ?? `dead-${delivery.subscription}-${delivery.deliveryTag}-${why.at}`.slice(0, 255);
  await sendCopy(
    {
      kind: 'dead-letter',
      exchange: '',
      routingKey: queue,
      content: delivery.body,
      properties: { ...copiedProperties(delivery.properties), messageId },
      ...headersOf(delivery, { ...reasonHeaders(delivery, why), ...signed(delivery, messageId, transport) }),
      markStripped: DEAD_LETTER_HEADERS.stripped,
    },
    transport,
    // Nobody has needed the queue yet, or somebody deleted it.
    () => transport.declare([toQueue({ name: queue }, 'deadLetter')]),
  );
}

/** What could not be read is left behind: read by others, it might end their links. */
function headersOf(delivery: Delivery, ours: Copy['ours']): Pick<Copy, 'headers' | 'ours'> {
  if (ReceivedProperties.faultOf(delivery.properties) === undefined)
    return { headers: copiedHeaders(delivery, { deaths: 'kept' }), ours };
  return { headers: {}, ours: { ...ours, [DEAD_LETTER_HEADERS.stripped]: true } };
}

function signed(
  { queue, exchange, routingKey, body }: Delivery,
  messageId: string,
  { signatures }: CopyTransport,
): Record<string, unknown> {
  const signature = signatures.sign('dead-letter', { queue, exchange, routingKey, messageId, body });
  return signature === undefined ? {} : { [DEAD_LETTER_HEADERS.signature]: signature };
}

function reasonHeaders(delivery: Delivery, why: DeathCertificate): Record<string, unknown> {
  const at = new Date(why.at).toISOString();
  const headers: Record<string, unknown> = {
    [DEAD_LETTER_HEADERS.reason]: why.reason,
    [DEAD_LETTER_HEADERS.subscription]: delivery.subscription,
    [DEAD_LETTER_HEADERS.queue]: delivery.queue,
    [DEAD_LETTER_HEADERS.exchange]: delivery.exchange,
    [DEAD_LETTER_HEADERS.routingKey]: delivery.routingKey,
    [DEAD_LETTER_HEADERS.at]: at,
    [DEAD_LETTER_HEADERS.attempts]: delivery.attempt,
    [DEAD_LETTER_HEADERS.firstSeen]: delivery.firstSeenAt?.toISOString() ?? at,
  };
  if (why.error !== undefined) {
    headers[DEAD_LETTER_HEADERS.errorName] = errorNameOf(why.error);
    headers[DEAD_LETTER_HEADERS.errorMessage] = failureReasonOf(why.error).slice(0, MAX_ERROR_MESSAGE_LENGTH);
  }
  return headers;
}
