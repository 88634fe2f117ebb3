/** When a consumer that the broker refused, or lost, is tried again while its link lives. */
import { NOT_FOUND } from '../../errors/reply-codes.js';
import type { Entity } from '../../topology/topology.js';
import { sharedEntities, type WantedSubscription } from '../options/subscription.js';

type RefusalKind =
  /** Somebody has to change something, or the broker still clears away what the last link left. */
  | 'refused'
  /** The queue vanished between its declaration and ours to consume: it is declared again each time. */
  | 'vanished'
  /** Somebody else will declare the queue (`ifQueueMissing: 'wait'`). */
  | 'awaited';

/**
 * Pauses before the next attempt; the last one is repeated. A refusal may be over in a moment or last for hours: together
 * at most 12 attempts a minute. What is awaited is asked for once a second at most, and back within two after it exists.
 */
const RETRIES_MS: Record<RefusalKind, readonly number[]> = {
  refused: [100, 1_000, 6_000],
  vanished: [100, 1_000],
  awaited: [1_000],
};

/** What dies young is restored a little later: a handler that kills its channel each time cannot spin. */
const YOUNG_MS = 1_000;
const YOUNG_RETRY_MS = 100;

export function refusalKindOf(
  thrown: Error,
  wanted: WantedSubscription,
  isAnyRefused: (entities: readonly Entity[]) => boolean,
): RefusalKind {
  const isMissing = (thrown as { code?: unknown }).code === NOT_FOUND;
  // It is missing because it was refused: its declaration is what has to be tried, in its own time.
  if (!isMissing || isAnyRefused(sharedEntities(wanted))) return 'refused';
  return wanted.ifQueueMissing === 'wait' ? 'awaited' : 'vanished';
}

/** @param refusals how many came before this one, in a row */
export function retryAfterRefusalMs(kind: RefusalKind, refusals: number): number {
  const retries = RETRIES_MS[kind];
  return retries[Math.min(refusals, retries.length - 1)] as number;
}

/** @param ageMs how long the consumer had been attached */
export function retryAfterLossMs(ageMs: number): number {
  return ageMs > YOUNG_MS ? 0 : YOUNG_RETRY_MS;
}
