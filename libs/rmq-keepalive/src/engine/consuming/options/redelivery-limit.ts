/** How often a message may come back before it is poison, and how often before a quorum queue's own count has to begin again. */
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber } from '../../base/option-checks.js';
import type { Queue } from '../../topology/topology.js';

/** Below the limit that quorum queues have by default since RabbitMQ 4.0 (20). */
const DEFAULT_MAX_REDELIVERIES = 16;

/**
 * The first return is free. A policy may set any limit, and no client can see it: with this, one of 3 leaves a chance to
 * spare when a link is lost between a return and its copy, and one of 2 none.
 */
export const RENEW_AFTER = 2;

/** @throws {@link OptionsError} */
export function resolveRedeliveryLimits(
  given: number | undefined,
  { queue, isOrdered }: { readonly queue: Queue; readonly isOrdered: boolean },
  path: string,
): RedeliveryLimits {
  const brokersLimit = deliveryLimitOf(queue, path);
  if (given !== undefined)
    checkNumber(
      given,
      { min: 1, max: 1_000_000, unit: 'redeliveries', integer: true, orInfinity: true },
      `${path}.maxRedeliveries`,
    );
  return {
    maxRedeliveries: given ?? defaultMaxRedeliveries(queue, isOrdered, brokersLimit ?? Infinity),
    renewAfter: renewAfter(isOrdered, brokersLimit),
  };
}

function defaultMaxRedeliveries(queue: Queue, isOrdered: boolean, brokersLimit: number): number {
  // Who asks for an order keeps it: without the broker's own count, counting moves a message to the end of its queue.
  if (isOrdered && argumentsOf(queue)['x-queue-type'] !== 'quorum') return Infinity;
  return Math.max(1, Math.min(DEFAULT_MAX_REDELIVERIES, brokersLimit - 1));
}

/** A copy costs the place in the order: where that matters, as late as the limit allows if we know it. */
function renewAfter(isOrdered: boolean, brokersLimit: number | undefined): number {
  if (brokersLimit === undefined) return RENEW_AFTER;
  return isOrdered ? Math.max(1, brokersLimit - 1) : Math.min(RENEW_AFTER, brokersLimit);
}

/** As the subscription declares it; `undefined`: it does not, and there may be one. */
function deliveryLimitOf(queue: Queue, path: string): number | undefined {
  const { 'x-delivery-limit': limit, 'x-dead-letter-exchange': deadLetterExchange } = argumentsOf(queue);
  if (typeof limit !== 'number') return undefined;
  if (limit === 0 && deadLetterExchange === undefined)
    throw new OptionsError(
      `${path}.queueOptions.arguments.x-delivery-limit`,
      'with 0 the broker drops a message when it comes back for the first time, and with every lost link all that is in hand',
      "Give 1 or more, or drop it; where messages may be lost, use ack: 'none'",
    );
  return limit < 0 ? Infinity : limit;
}

function argumentsOf(queue: Queue): Record<string, unknown> {
  return (queue.options.arguments ?? {}) as Record<string, unknown>;
}

export interface RedeliveryLimits {
  /** How often a message may come back from other hands before it is poison. */
  readonly maxRedeliveries: number;
  /** How often a quorum queue may count it as come back before it is copied. */
  readonly renewAfter: number;
}
