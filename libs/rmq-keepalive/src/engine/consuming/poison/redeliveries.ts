/**
 * What becomes of a message that comes back to its queue without being settled.
 *
 * Two dangers. *Poison*: a message that kills the process that handles it comes back, kills the next one, and so on for ever.
 * So it is counted how often a message came back; beyond a limit of ours it is dead-lettered unseen. And *the broker's own
 * limit*: a quorum queue counts every return, of whatever cause (a lost link, a requeue, a death), and drops the message in
 * silence when they are more than its delivery limit: 20 by default since RabbitMQ 4.0, less by an argument or by a policy,
 * which no client can see.
 *
 * The answer to both is a copy with a confirm to the end of the same queue, *before* the handler sees the message; then the
 * delivery is acked. It carries the count of deaths, and the broker's count begins again with it.
 *
 * - From a **classic queue**, which only says `redelivered`: one such hop for each return from somebody else's hands, since a
 *   process that dies cannot note anything.
 * - From a **quorum queue**, which counts (`x-delivery-count`): one for each second return, whosever hands it was in. One
 *   return keeps the message's place in the queue, and the hop itself may be cut short once, with a limit as low as 3.
 *
 * A link that is lost is no death: what this process itself had in hand then does not count towards poison. And a message is
 * never held up by the counting: see {@link Admission}.
 */
import { createHash } from 'node:crypto';
import type { Delivery } from '../delivery/delivery.js';
import type { RedeliveryLimits } from '../options/redelivery-limit.js';

export type RedeliveryVerdict =
  /** It came back so often before. */
  | { readonly kind: 'handle'; readonly redeliveries: number }
  /** Write down that it came back so often, then let it come again. */
  | { readonly kind: 'count'; readonly redeliveries: number }
  /** The same, or the broker drops it the next time, perhaps. */
  | { readonly kind: 'renew'; readonly redeliveries: number; readonly returns: number }
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
  /** The broker moved it here from another queue, and no copy of ours took its place since. */
  readonly isDeadLetter: boolean;
}

export function redeliveryVerdict(facts: RedeliveryFacts, limits: RedeliveryLimits): RedeliveryVerdict {
  const { isBack, counted, isOwnReturn } = facts;
  const { maxRedeliveries, renewAfter } = limits;
  if (!isBack) return { kind: 'handle', redeliveries: counted };
  const byBroker = countOfBroker(facts);
  if (byBroker === undefined && isOwnReturn) return { kind: 'handle', redeliveries: counted };
  const deaths = byBroker !== undefined && isInherited(facts) ? 0 : (byBroker ?? 1);
  const redeliveries = counted + (isOwnReturn ? 0 : deaths);
  if (redeliveries > maxRedeliveries && !isOwnReturn) return { kind: 'poison', redeliveries };
  if (byBroker === undefined) return { kind: 'count', redeliveries };
  // A count that the publisher made up costs one hop: the copy does not carry it.
  const returns = facts.deliveryCount as number | undefined;
  if (returns !== undefined && returns >= renewAfter) return { kind: 'renew', redeliveries, returns };
  return { kind: 'handle', redeliveries };
}

/**
 * A suspect is handled alone. The first half of its chances is free: a message that was handed back by each instance of a
 * service that is deployed anew, with too little time to drain, is none, and hundreds of them one at a time would take hours.
 */
export function isSuspect(redeliveries: number, limit: number): boolean {
  return redeliveries > limit / 2;
}

/**
 * RabbitMQ 4.3 (the first to count what was acquired) leaves a dead letter the count of the queue that gave it up: it comes
 * here for the first time, and is over the limit. So that count stands for no death in this queue; the copy has none.
 */
function isInherited({ isDeadLetter, acquiredCount }: RedeliveryFacts): boolean {
  return isDeadLetter && typeof acquiredCount === 'number';
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
/** What tells one message from another. */
type ReturnedMessage = Pick<Delivery, 'messageId' | 'exchange' | 'routingKey' | 'body'>;

export class OwnReturns {
  #young = new Map<string, number>();
  #old = new Map<string, number>();

  /** @param size at least so many are remembered, at most twice as many */
  constructor(private size: number) {}

  /** From now on at least so many are remembered. */
  makeRoomFor(size: number): void {
    this.size = Math.max(this.size, size);
  }

  add(returned: ReturnedMessage): void {
    const key = keyOf(returned);
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
export function keyOf({ messageId, exchange, routingKey, body }: ReturnedMessage): string {
  if (messageId !== undefined && messageId !== '') return messageId;
  return createHash('sha1').update(`${exchange}\0${routingKey}\0`).update(body).digest('base64');
}
