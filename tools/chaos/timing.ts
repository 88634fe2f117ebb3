/** How long each accident kept messages from being handled, from the ledgers. Pure. */
import type { PastAccident } from './accident.js';
import type { Entry } from './ledger.js';

/** How one accident went by. */
export interface Aftermath extends PastAccident {
  /** From its end until a message that was published after its end was handled, ms. `null`: none was. */
  readonly backAfterMs: number | null;
  /** The longest time without a handled message that it had a part in, ms. */
  readonly longestPauseMs: number;
  /** Another accident struck before all was well again, or was still going on: the figures are those of both. */
  readonly overlapped: boolean;
}

export interface Pause {
  readonly ms: number;
  readonly endedAt: number;
  /** Accidents that were going on, or just over. */
  readonly during: readonly string[];
}

interface Arrival {
  readonly at: number;
  readonly publishedAt: number;
}

export function aftermathOf(
  accidents: readonly PastAccident[],
  produced: readonly Entry[],
  consumed: readonly Entry[],
): Aftermath[] {
  const publishedAt = publishInstants(produced);
  const arrivals = new Map<string, Arrival[]>();
  const alone = accidents.map((accident) => {
    const { shownBy, startedAt, overAt } = accident;
    if (!arrivals.has(shownBy)) arrivals.set(shownBy, arrivalsOn(shownBy, consumed, publishedAt));
    const onQueue = arrivals.get(shownBy)!;
    const back = onQueue.find((one) => one.publishedAt > overAt);
    const wellAt = back?.at ?? Infinity;
    const gaps = pausesIn(onQueue).filter(({ ms, endedAt }) => endedAt > startedAt && endedAt - ms < wellAt);
    return {
      accident,
      wellAt,
      backAfterMs: back === undefined ? null : back.at - overAt,
      longestPauseMs: Math.max(0, ...gaps.map(({ ms }) => ms)),
    };
  });
  return alone.map(({ accident, wellAt, ...times }) => ({
    ...accident,
    ...times,
    overlapped: alone.some(
      (other) => other.accident !== accident && other.accident.startedAt < wellAt && accident.startedAt < other.wellAt,
    ),
  }));
}

/** The longest time in which no message came out of `queue`, and who is to blame. */
export function longestPause(
  queue: string,
  produced: readonly Entry[],
  consumed: readonly Entry[],
  aftermath: readonly Aftermath[],
): Pause {
  const arrivals = arrivalsOn(queue, consumed, publishInstants(produced));
  const none = { ms: 0, endedAt: 0 };
  const { ms, endedAt } = pausesIn(arrivals).reduce((longest, one) => (one.ms > longest.ms ? one : longest), none);
  const during = aftermath
    .filter(({ startedAt, overAt, backAfterMs }) => startedAt < endedAt && overAt + (backAfterMs ?? 0) > endedAt - ms)
    .map(({ name }) => name);
  return { ms, endedAt, during };
}

function publishInstants(produced: readonly Entry[]): Map<number, number> {
  return new Map(produced.flatMap((entry) => (entry.what === 'published' ? [[entry.id, entry.at] as const] : [])));
}

function arrivalsOn(queue: string, consumed: readonly Entry[], publishedAt: ReadonlyMap<number, number>): Arrival[] {
  return consumed
    .flatMap((entry) =>
      entry.what === 'handled' && entry.queue === queue
        ? [{ at: entry.at, publishedAt: publishedAt.get(entry.id) ?? 0 }]
        : [],
    )
    .sort((one, other) => one.at - other.at);
}

function pausesIn(arrivals: readonly Arrival[]): { ms: number; endedAt: number }[] {
  return arrivals.slice(1).map(({ at }, index) => ({ ms: at - arrivals[index]!.at, endedAt: at }));
}
