/**
 * When credentials that end are renewed. Pure: what is left of their time comes in as an argument.
 *
 * At two thirds of what is left: late enough not to burden whoever gives them, early enough for several more questions when
 * the first one fails. A provider that keeps its tokens may give the same one again; then two thirds of what is left now.
 */

const SHARE = 2 / 3;
/** However short-lived they are. */
const LEAST_DELAY_MS = 1_000;
/** While they are still good: several questions in the last third. */
const ASK_AGAIN_MS = { share: 1 / 2, least: 1_000, most: 30_000 };
/** When they are over: at most 12 questions a minute, for as long as it takes. */
const OVER_MS = { least: 7_500, most: 8_500 };
/** Both links of a connection ask: an answer to one of them that is so young will do for the other one as well. */
const SPARE_MS = { good: 1_500, over: 5_000 };
/** What the broker gets of the time that is left to answer the update. */
const ANSWER_SHARE = 1 / 2;

/** From now to the next question, after credentials with `leftMs` were taken. */
export function renewalDelayMs(leftMs: number, random: () => number): number {
  return leftMs <= 0 ? overDelayMs(random) : Math.max(LEAST_DELAY_MS, leftMs * SHARE);
}

/** From now to the next question, after one that failed; `leftMs` of those that we have. `undefined`: they do not end. */
export function askAgainDelayMs(leftMs: number | undefined, random: () => number): number {
  if (leftMs === undefined) return ASK_AGAIN_MS.most;
  if (leftMs <= 0) return overDelayMs(random);
  return Math.min(ASK_AGAIN_MS.most, Math.max(ASK_AGAIN_MS.least, leftMs * ASK_AGAIN_MS.share));
}

/** How long the broker may take to answer the update: a new dial has to fit into what is left after that. */
export function answerTimeoutMs(leftMs: number | undefined, longestMs: number): number {
  if (leftMs === undefined || leftMs <= 0) return longestMs;
  return Math.min(longestMs, Math.max(LEAST_DELAY_MS, leftMs * ANSWER_SHARE));
}

/** How young an answer has to be to be taken instead of a question. */
export function spareMs(leftMs: number | undefined): number {
  return leftMs !== undefined && leftMs <= 0 ? SPARE_MS.over : SPARE_MS.good;
}

function overDelayMs(random: () => number): number {
  return OVER_MS.least + (OVER_MS.most - OVER_MS.least) * random();
}
