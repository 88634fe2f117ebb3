/** How often a message may come back before it is poison; a quorum queue's own limit, if we know it, must come second. */
import { OptionsError } from '../../errors.js';
import { checkNumber } from '../../option-checks.js';
import type { Queue } from '../../topology/topology.js';

/** Below the limit that quorum queues have by default since RabbitMQ 4.0 (20), at which the broker drops the message. */
const DEFAULT_MAX_REDELIVERIES = 16;

/** @throws {@link OptionsError} */
export function resolveMaxRedeliveries(
  given: number | undefined,
  { queue, isOrdered }: { readonly queue: Queue; readonly isOrdered: boolean },
  path: string,
): number {
  const limit = (queue.options.arguments as Record<string, unknown> | undefined)?.['x-delivery-limit'];
  const brokersLimit = typeof limit === 'number' && limit > 0 ? limit : Infinity;
  const isQuorum = (queue.options.arguments as Record<string, unknown> | undefined)?.['x-queue-type'] === 'quorum';
  // Who asks for an order keeps it: without the broker's own count, counting moves a message to the end of its queue.
  if (given === undefined && isOrdered && !isQuorum) return Infinity;
  if (given === undefined) return Math.max(1, Math.min(DEFAULT_MAX_REDELIVERIES, brokersLimit - 1));
  checkNumber(
    given,
    { min: 1, max: 1_000_000, unit: 'redeliveries', integer: true, orInfinity: true },
    `${path}.maxRedeliveries`,
  );
  if (given >= brokersLimit && given !== Infinity)
    throw new OptionsError(
      `${path}.maxRedeliveries`,
      `the queue's own x-delivery-limit of ${brokersLimit} would come first, and the broker drops the message`,
      'Give a smaller one, raise x-delivery-limit, or leave the option out',
    );
  return given;
}
