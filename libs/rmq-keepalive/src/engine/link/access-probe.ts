/**
 * Asks whether we may publish to an exchange, without publishing anything.
 *
 * A message with an expiration that is no number is refused by the broker in any case, and reaches no queue; but the right
 * to write is looked at first, before it is known whether there is such an exchange. So 406 says that we may, 404 that we may
 * although the exchange is gone, 403 that we may not. It costs a channel of its own.
 */
import { type Clock, withDeadline } from '../base/clock.js';
import { PublishRefusedError } from '../errors/publish-errors.js';
import { RecoveryStalledError } from '../errors/connection-errors.js';
import { ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED } from '../errors/reply-codes.js';
import { closeChannel, openGuardedChannel } from './guarded-channel.js';
import type { Link } from './link.js';

export type AccessAnswer = 'allowed' | 'refused' | 'unknown';

export interface PublishTarget {
  readonly exchange: string;
  readonly routingKey: string;
}

/** Never rejects: what cannot be asked now is unknown. */
export async function mayPublish(
  link: Link,
  { exchange, routingKey }: PublishTarget,
  clock: Clock,
  timeoutMs: number,
): Promise<AccessAnswer> {
  // A link that the broker's alarm blocks is not read.
  const place = link.blockedBecause === undefined ? link.channels.tryTake('work') : undefined;
  if (place === undefined) return 'unknown';
  let isClosed: (cause: Error | undefined) => void = () => undefined;
  const closed = new Promise<Error | undefined>((resolve) => (isClosed = resolve));
  try {
    const channel = await openGuardedChannel(link, isClosed);
    channel.publish(exchange, routingKey, Buffer.alloc(0), { expiration: 'never' });
    const late = new RecoveryStalledError('asking for a right', timeoutMs);
    const cause = await withDeadline(clock, closed, timeoutMs, () => late).catch((thrown: unknown) => {
      void closeChannel(channel);
      throw thrown;
    });
    return answerIn((cause as { code?: unknown } | undefined)?.code);
  } catch {
    return 'unknown';
  } finally {
    place.release();
  }
}

function answerIn(code: unknown): AccessAnswer {
  if (code === PRECONDITION_FAILED || code === NOT_FOUND) return 'allowed';
  return code === ACCESS_REFUSED ? 'refused' : 'unknown';
}

/** The right to a routing key (topic permissions) says nothing of what was allowed before, under other keys; the end of a token does. */
export function isOnlyForKey(refusal: PublishRefusedError): boolean {
  return !canBeAsked(refusal) && !/expired/.test(refusal.message);
}

/** The broker looks at rights to a routing key (topic permissions) later than at the expiration: the answer would say nothing. */
export function canBeAsked(refusal: PublishRefusedError): boolean {
  return !/access to topic '/.test(refusal.message);
}
