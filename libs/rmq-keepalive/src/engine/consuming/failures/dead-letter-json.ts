/**
 * A dead letter as an HTTP answer shows it: readable, bounded, and never an error.
 *
 * Danger: a body may be large, no JSON, or decoded into what JSON does not have. The letter is told all the same.
 */
import { reasonOf } from '../../errors.js';
import type { DeadLetter } from './dead-letter-record.js';

/** Larger bodies are left out, with their size: a list of fifty must not become an answer of hundreds of megabytes. */
export const MAX_SHOWN_BYTES = 64 * 1024;

type Told =
  | 'messageId'
  | 'reason'
  | 'error'
  | 'attempts'
  | 'firstSeenAt'
  | 'at'
  | 'subscription'
  | 'queue'
  | 'exchange'
  | 'routingKey'
  | 'replayed';

/** What `JSON.stringify(letter)` writes. */
export interface DeadLetterJson extends Pick<DeadLetter, Told | 'headers'> {
  /** Of the body, in bytes. */
  readonly bytes: number;
  /** The payload as a handler would get it; left out with `payloadOmitted`. */
  readonly payload?: unknown;
  /** Why there is no payload here: too large, not decodable, or of a kind that JSON does not have. */
  readonly payloadOmitted?: string;
}

export function deadLetterJson(letter: DeadLetter): DeadLetterJson {
  const { messageId, reason, error, attempts, firstSeenAt, at, subscription, queue, exchange, routingKey } = letter;
  const { replayed, headers, body } = letter;
  return {
    messageId,
    reason,
    error,
    attempts,
    firstSeenAt,
    at,
    subscription,
    queue,
    exchange,
    routingKey,
    replayed,
    headers,
    bytes: body.length,
    ...shownPayload(letter),
  };
}

function shownPayload(letter: DeadLetter): Pick<DeadLetterJson, 'payload' | 'payloadOmitted'> {
  const { body } = letter;
  if (body.length > MAX_SHOWN_BYTES) return { payloadOmitted: `more than ${MAX_SHOWN_BYTES} bytes` };
  try {
    const { payload } = letter;
    if (Buffer.isBuffer(payload)) return { payloadOmitted: 'bytes, no JSON' };
    // A codec of the user's may unpack a small body into a large value, or into one that JSON does not have.
    const text = JSON.stringify(payload) as string | undefined;
    if (text === undefined) return { payloadOmitted: 'it has no JSON form' };
    return text.length > 2 * MAX_SHOWN_BYTES
      ? { payloadOmitted: `decoded, more than ${2 * MAX_SHOWN_BYTES} characters` }
      : { payload };
  } catch (thrown) {
    return { payloadOmitted: reasonOf(thrown) };
  }
}
