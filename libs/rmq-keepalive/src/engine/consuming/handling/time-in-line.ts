/**
 * Whether what waits for a handler will be done before the broker's patience is over, and how much may wait at most.
 *
 * Duty: no delivery grows too old in our hands. The broker counts from when it sent it, not from when its handler begins.
 * Danger: what is given back comes to us again at once, as long as there is room in the prefetch. So whenever something
 * has to go back the prefetch shrinks too: to what fits at the pace of the handlers, and at least to half. The half is for
 * what a pace cannot tell: a few slow messages of one key among many fast ones, say.
 * Choice: all that waits goes back together, so that the order of the queue stays. The prefetch grows again as soon as the
 * pace allows, fourfold at a time.
 */
export interface LineFacts {
  /** For how long each running handler has been at it, ms. */
  readonly runningForMs: readonly number[];
  /** How many deliveries these handlers have; with batches more than there are handlers. */
  readonly inHandlers: number;
  /** The ages of the deliveries that wait for a handler, those that came first first, ms. */
  readonly waitingForMs: readonly number[];
  /** The age of the oldest delivery that waits for something else: its schema, a store, its turn as a suspect. */
  readonly asideForMs: number | undefined;
  /** How long a handler takes as a rule; `undefined` before the first one has returned. */
  readonly usualRunMs: number | undefined;
}

export interface LineBounds {
  /** By then a delivery shall be settled, ms. */
  readonly budgetMs: number;
  /** What the consumer has now. */
  readonly prefetch: number;
  /** What was asked for. */
  readonly wanted: number;
  /** So many begin at once, and do not wait: the prefetch never shrinks below. */
  readonly least: number;
}

export type LineVerdict =
  | { readonly kind: 'keep' }
  /** All that waits goes back. */
  | { readonly kind: 'shrink'; readonly prefetch: number }
  | { readonly kind: 'grow'; readonly prefetch: number };

const GROWTH = 4;
/** Of the budget. */
const JUDGED_FROM = 1 / 4;
const UNKNOWN_PACE_JUDGED_FROM = 1 / 2;

export function lineVerdict(facts: LineFacts, bounds: LineBounds): LineVerdict {
  const { budgetMs, prefetch, wanted, least } = bounds;
  const fits = howManyFit(facts, bounds);
  const half = Math.floor(prefetch / 2);
  const asideForMs = facts.asideForMs ?? 0;
  if (asideForMs > budgetMs) return { kind: 'shrink', prefetch: Math.max(1, half) };
  if (!isInTime(facts, budgetMs)) return { kind: 'shrink', prefetch: Math.max(least, Math.min(fits, half)) };
  if (asideForMs > budgetMs / 2) return { kind: 'keep' };
  const next = Math.min(wanted, GROWTH * prefetch, fits - facts.waitingForMs.length);
  if (next >= 2 * prefetch || (next === wanted && next > prefetch)) return { kind: 'grow', prefetch: next };
  return { kind: 'keep' };
}

/**
 * Whether all that waits will be done in time, as far as one can tell. What has not waited for long is not judged yet: more
 * is known later, and each time that messages go back costs them a place in the count and the order of a quorum queue.
 */
function isInTime({ waitingForMs, ...facts }: LineFacts, budgetMs: number): boolean {
  const judgedFromMs = budgetMs * (facts.usualRunMs === undefined ? UNKNOWN_PACE_JUDGED_FROM : JUDGED_FROM);
  if ((waitingForMs[0] ?? 0) < judgedFromMs) return true;
  const { nextInMs, runMs, atATime } = pace(facts);
  return waitingForMs.every(
    (ageMs, place) => ageMs < judgedFromMs || ageMs + nextInMs + (Math.floor(place / atATime) + 1) * runMs <= budgetMs,
  );
}

/** How many that come now would be done in time, and those that come later, when the handlers have just begun with others. */
function howManyFit(facts: LineFacts, { budgetMs, least }: LineBounds): number {
  const { nextInMs, runMs, atATime } = pace(facts, least);
  if (runMs === 0) return nextInMs < budgetMs ? Infinity : 0;
  return atATime * Math.max(0, Math.floor((budgetMs - Math.max(nextInMs, runMs)) / runMs));
}

/** Of the handlers, as they go now. One that has taken longer than usual is given as long again. */
function pace(
  { runningForMs, inHandlers, usualRunMs }: Omit<LineFacts, 'waitingForMs'>,
  whenIdle = 1,
): { nextInMs: number; runMs: number; atATime: number } {
  if (runningForMs.length === 0) return { nextInMs: 0, runMs: usualRunMs ?? 0, atATime: whenIdle };
  // Whatever has not ended takes at least so long.
  const runMs = usualRunMs ?? Math.min(...runningForMs);
  const nextInMs = Math.min(...runningForMs.map((forMs) => (forMs < runMs ? runMs - forMs : forMs)));
  return { nextInMs, runMs, atATime: Math.max(1, inHandlers) };
}
