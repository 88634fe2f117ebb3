/** Whether each villain was named while it acted, and what the innocent ones noticed of them. Pure. */
import type { Entry } from './ledger.js';
import { QUEUES } from './protocol.js';

/** Instants are of the machine's clock. */
export interface PastVillain {
  readonly name: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly isNamedBy: (named: string) => boolean;
  /** Why it could not act, if it could not. */
  readonly missed?: string;
}

export interface VillainVerdict {
  /** By name: how long until it was named, ms; `null`: it was not, or could not act. */
  readonly namedAfterMs: Readonly<Record<string, number | null>>;
  /** By queue of an innocent subscription: its rate beside villains, as a share of its rate before the first of them. */
  readonly share: Readonly<Record<string, number>>;
}

/** What an innocent subscription must keep of its rate. */
export const SHARE_TO_KEEP = 0.95;

export interface VillainEvidence {
  readonly consumed: readonly Entry[];
  readonly accidents: readonly Disturbance[];
  /** When the first message was published. */
  readonly from: number;
}

/** From the beginning of an accident until all was well again. */
export interface Disturbance {
  readonly startedAt: number;
  readonly wellAt: number;
}

const SECOND_MS = 1_000;
/** What was held up is caught up by then. */
const SETTLED_AFTER_MS = 2_000;

export function judgeVillains(
  villains: readonly PastVillain[],
  { consumed, accidents, from }: VillainEvidence,
): VillainVerdict {
  const begin = Math.min(...villains.map(({ startedAt }) => startedAt));
  const end = Math.max(...villains.map(({ endedAt }) => endedAt));
  return {
    namedAfterMs: Object.fromEntries(villains.map((villain) => [villain.name, namedAfter(villain, consumed)])),
    share: Object.fromEntries(
      QUEUES.map((queue) => {
        const rate = rateIn(queue, consumed, accidents);
        return [queue, rate(begin, end) / rate(from, begin)];
      }),
    ),
  };
}

export function areVillainsFailed({ namedAfterMs, share }: VillainVerdict): boolean {
  return (
    Object.values(namedAfterMs).some((ms) => ms === null) ||
    Object.values(share).some((kept) => !(kept >= SHARE_TO_KEEP))
  );
}

function namedAfter({ startedAt, endedAt, isNamedBy, missed }: PastVillain, consumed: readonly Entry[]): number | null {
  if (missed !== undefined) return null;
  const names = consumed.flatMap((entry): { at: number; named: readonly string[] }[] => {
    if (entry.what === 'named') return [entry];
    return entry.what === 'dead-lettered' ? [{ at: entry.at, named: [`${entry.subscription}: ${entry.reason}`] }] : [];
  });
  const first = names.find(({ at, named }) => at >= startedAt && at <= endedAt && named.some(isNamedBy));
  return first === undefined ? null : first.at - startedAt;
}

/**
 * Messages handled in a quiet second: one in which no accident was going on, or just over. What an accident holds up and what
 * is caught up after it says nothing of the villains.
 */
function rateIn(
  queue: string,
  consumed: readonly Entry[],
  accidents: readonly Disturbance[],
): (from: number, to: number) => number {
  const seen = new Set<number>();
  const perSecond = new Map<number, number>();
  for (const entry of consumed) {
    if (entry.what !== 'handled' || entry.queue !== queue || seen.has(entry.id)) continue;
    seen.add(entry.id);
    const second = Math.floor(entry.at / SECOND_MS);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  const isQuiet = (second: number): boolean =>
    accidents.every(
      ({ startedAt, wellAt }) =>
        (second + 1) * SECOND_MS <= startedAt || second * SECOND_MS >= wellAt + SETTLED_AFTER_MS,
    );
  return (from, to) => {
    const seconds: number[] = [];
    for (let second = Math.ceil(from / SECOND_MS); (second + 1) * SECOND_MS <= to; second++)
      if (isQuiet(second)) seconds.push(perSecond.get(second) ?? 0);
    return seconds.reduce((sum, count) => sum + count, 0) / seconds.length;
  };
}
