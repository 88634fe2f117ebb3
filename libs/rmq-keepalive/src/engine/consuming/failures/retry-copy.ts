/** Puts a delivery into a retry queue: published there with a confirm and its attempt in the headers, then acked by the caller. */
import {
  originMarks,
  REDELIVERY_COUNT_HEADER,
  RENEWAL_COUNT_HEADER,
  RETRY_HEADERS,
} from '../../copies/carried-headers.js';
import { failureReasonOf } from '../../errors/failure-reasons.js';
import { errorNameOf } from '../../errors/reasons.js';
import { type CopyTransport, sendCopy } from '../../copies/copy-transport.js';
import type { Delivery } from '../delivery/delivery.js';
import { copiedHeaders, copiedProperties, MAX_ERROR_MESSAGE_LENGTH } from '../../copies/message-copy.js';
import { DELAY_HEADER, delayKey, RETRY_EXCHANGE } from '../../copies/retry-queues.js';

interface RetryOrder {
  readonly delayMs: number;
  /** The number of the attempt that the copy is for. */
  readonly attempt: number;
  /** What went wrong, if something did. */
  readonly error?: unknown;
  /** Epoch ms. */
  readonly at: number;
}

/** A message that comes back from a retry queue has not killed anybody: the counts start again. */
const NOT_CARRIED_ON: ReadonlySet<string> = new Set([REDELIVERY_COUNT_HEADER, RENEWAL_COUNT_HEADER]);

/**
 * Resolves on the confirm.
 * @param layWay makes the retry queue and whatever leads there
 */
export async function moveToRetryQueue(
  delivery: Delivery,
  order: RetryOrder,
  transport: CopyTransport,
  layWay: () => Promise<void>,
): Promise<void> {
  await sendCopy(
    {
      kind: 'retry',
      exchange: RETRY_EXCHANGE,
      // The way back: what expires goes to the queue of this name.
      routingKey: delivery.queue,
      content: delivery.body,
      properties: copiedProperties(delivery.properties),
      headers: copiedHeaders(delivery, { without: NOT_CARRIED_ON }),
      ours: { ...retryHeaders(delivery, order), ...originMarks(transport.signatures, delivery) },
    },
    transport,
    layWay,
  );
}

function retryHeaders(delivery: Delivery, { delayMs, attempt, error, at }: RetryOrder): Record<string, unknown> {
  return {
    [DELAY_HEADER]: delayKey(delayMs),
    [RETRY_HEADERS.attempt]: attempt,
    [RETRY_HEADERS.firstSeen]: (delivery.firstSeenAt ?? new Date(at)).toISOString(),
    ...(error === undefined || delivery.headers[RETRY_HEADERS.firstErrorName] !== undefined
      ? {}
      : {
          [RETRY_HEADERS.firstErrorName]: errorNameOf(error),
          [RETRY_HEADERS.firstErrorMessage]: failureReasonOf(error).slice(0, MAX_ERROR_MESSAGE_LENGTH),
        }),
  };
}
