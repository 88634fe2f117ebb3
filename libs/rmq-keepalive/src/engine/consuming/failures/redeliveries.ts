/**
 * Poison: a message that kills the process that handles it comes back, kills the next one, and so on for ever. So it is
 * counted how often a message came back without being settled; beyond a limit it is dead-lettered unseen.
 *
 * Quorum queues count by themselves (`x-delivery-count`). A classic queue only says `redelivered`, and a process that dies
 * cannot note anything. So the count is written *before* the handler sees the message: a copy with the next number goes to
 * the end of the same queue, and the delivery is acked. One hop for each time a process died with the message in hand.
 *
 * A link that is lost is no death: what this process itself had in hand when that happened is handled without a hop. And a
 * message is never held up by the counting: see {@link FailedDeliveries}.
 */
import { createHash } from 'node:crypto';
import type { Delivery } from '../delivery.js';

export type RedeliveryVerdict =
  /** It came back so often before. */
  | { readonly kind: 'handle'; readonly redeliveries: number }
  /** Write down that it came back so often, then let it come again. */
  | { readonly kind: 'count'; readonly redeliveries: number }
  | { readonly kind: 'poison'; readonly redeliveries: number };

export interface RedeliveryFacts {
  /** The broker's flag. */
  readonly isBack: boolean;
  /** `x-delivery-count`, `x-acquired-count`: only quorum queues set them. */
  readonly deliveryCount: unknown;
  readonly acquiredCount: unknown;
  /** As our copy carries it. */
  readonly counted: number;
  /** It comes from the hands of this process, which lives. */
  readonly isOwnReturn: boolean;
}

export function redeliveryVerdict(facts: RedeliveryFacts, limit: number): RedeliveryVerdict {
  const { isBack, counted } = facts;
  if (!isBack) return { kind: 'handle', redeliveries: counted };
  const byBroker = countOfBroker(facts);
  if (byBroker !== undefined)
    return { kind: byBroker > limit && !facts.isOwnReturn ? 'poison' : 'handle', redeliveries: byBroker };
  if (facts.isOwnReturn) return { kind: 'handle', redeliveries: counted };
  return { kind: counted + 1 > limit ? 'poison' : 'count', redeliveries: counted + 1 };
}

/**
 * A suspect is handled alone. The first half of its chances is free: a message that was handed back by each instance of a
 * service that is deployed anew, with too little time to drain, is none, and hundreds of them one at a time would take hours.
 */
export function isSuspect(redeliveries: number, limit: number): boolean {
  return redeliveries > limit / 2;
}

/** `undefined`: it does not count. */
function countOfBroker({ deliveryCount, acquiredCount }: RedeliveryFacts): number | undefined {
  if (typeof acquiredCount !== 'number') return typeof deliveryCount === 'number' ? deliveryCount : undefined;
  // RabbitMQ 4.3 leaves a count that the publisher made up until there is one of its own, which is never above the other.
  return typeof deliveryCount === 'number' ? Math.min(deliveryCount, acquiredCount) : 0;
}

/**
 * Messages that came back to their queue from the hands of this very process, which lives: it gave them back, or lost their
 * link. Two generations of keys: bounded, and next to nothing to keep.
 *
 * One for each queue: whoever subscribes to it next knows what the subscription before gave back.
 */
export class OwnReturns {
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  /** @param size at least so many are remembered, at most twice as many */
  constructor(private size: number) {}

  /** From now on at least so many are remembered. */
  makeRoomFor(size: number): void {
    this.size = Math.max(this.size, size);
  }

  add(delivery: Delivery): void {
    const key = keyOf(delivery);
    this.#young.set(key, (this.#young.get(key) ?? 0) + 1);
    if (this.#young.size < this.size) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** Whether it is one of them. Asked once for each return: the next time it may come from other hands. */
  take(delivery: Delivery): boolean {
    const key = keyOf(delivery);
    return takeOne(this.#young, key) || takeOne(this.#old, key);
  }
}

function takeOne(returns: Map<string, number>, key: string): boolean {
  const count = returns.get(key);
  if (count === undefined) return false;
  if (count === 1) returns.delete(key);
  else returns.set(key, count - 1);
  return true;
}

/** Its id; of a message without one what it says. Those that say the same are as good as each other. */
function keyOf({ messageId, exchange, routingKey, body }: Delivery): string {
  if (messageId !== undefined && messageId !== '') return messageId;
  return createHash('sha1').update(`${exchange}\0${routingKey}\0`).update(body).digest('base64');
}
