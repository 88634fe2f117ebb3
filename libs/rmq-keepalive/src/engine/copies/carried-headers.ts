/** What a copy that we made carries on, so that the next delivery of the message knows what became of it before. */
import type { CopyClaim, CopySignatures } from './copy-signatures.js';

/** Through it a message comes back to its queue from a retry queue. */
export const RETURN_EXCHANGE = 'rmq-keepalive.return';

/**
 * Where the message was published to first; `delivery.exchange` and `delivery.routingKey` read these.
 *
 * ```ts
 * const cameFrom = (headers: MessageHeaders) => headers[ORIGIN_HEADERS.exchange];
 * ```
 */
export const ORIGIN_HEADERS = {
  exchange: 'x-origin-exchange',
  routingKey: 'x-origin-routing-key',
  /** Of these two: see copy-signatures.ts. */
  signature: 'x-origin-signature',
} as const;

/**
 * What a message carries that is tried again.
 *
 * ```ts
 * const failedFirstWith = (headers: MessageHeaders) => headers[RETRY_HEADERS.firstErrorMessage];
 * ```
 */
export const RETRY_HEADERS = {
  /** The number of the attempt that this copy is for: 2 is the first repetition. */
  attempt: 'x-retry-attempt',
  /** When a handler got the message for the first time; ISO 8601. */
  firstSeen: 'x-retry-first-seen',
  /** Name and message (bounded, no stack) of the error that it failed with first. */
  firstErrorName: 'x-retry-first-error-name',
  firstErrorMessage: 'x-retry-first-error-message',
} as const;

/** How often the message came back without being settled, its consumer gone. */
export const REDELIVERY_COUNT_HEADER = 'x-redelivery-count';

/** How often the message was copied to the end of its quorum queue, whose own count begins again with the copy. */
export const RENEWAL_COUNT_HEADER = 'x-renewal-count';

/** What a copy for `claim.queue` carries of where the message came from. */
export function originMarks(signatures: CopySignatures, claim: CopyClaim): Record<string, unknown> {
  const signature = signatures.sign('origin', claim);
  return {
    [ORIGIN_HEADERS.exchange]: claim.exchange,
    [ORIGIN_HEADERS.routingKey]: claim.routingKey,
    // Without a secret of ours, that of whoever copied it before is carried on, and is as good as it was.
    ...(signature !== undefined && { [ORIGIN_HEADERS.signature]: signature }),
  };
}
