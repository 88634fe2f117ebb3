/**
 * Who may have a channel, where there are only so many. Pure: counts in, room out.
 *
 * Order: one for the publisher that is always there, one for the work that the engine does beside everything (declaring,
 * repairs, dead letters), then one for each further publisher that was made, then consumers.
 */

/** `work`: for a while, and then it is free again. The others last. */
export type ChannelUse = 'main-publisher' | 'publisher' | 'consumer' | 'work';

export type ChannelCounts = Readonly<Record<ChannelUse, number>>;

interface ChannelShare {
  /** How many there may be. */
  readonly limit: number;
  /** Those that are there, or being opened. */
  readonly taken: ChannelCounts;
  /** Publishers that were made, the main one included; 0 where nobody publishes. */
  readonly publishers: number;
}

export const NO_CHANNELS: ChannelCounts = { 'main-publisher': 0, publisher: 0, consumer: 0, work: 0 };

/** How many more channels may be opened for that use. */
export function roomFor(use: ChannelUse, share: ChannelShare): number {
  return Math.max(0, freeFor(use, share));
}

function freeFor(use: ChannelUse, { limit, taken, publishers }: ChannelShare): number {
  const free = limit - countOf(taken);
  const mainDue = publishers > 0 && taken['main-publisher'] === 0 ? 1 : 0;
  const workDue = taken.work === 0 ? 1 : 0;
  const publishersDue = Math.max(0, publishers - taken['main-publisher'] - taken.publisher);
  switch (use) {
    case 'main-publisher':
      return free;
    case 'work':
      // With a single one, they take turns: work is over soon.
      return limit === 1 ? free : free - mainDue;
    case 'publisher':
      return free - mainDue - workDue;
    case 'consumer':
      return free - publishersDue - workDue;
  }
}

/** How many consumers have a channel that the main publisher, or work, cannot do without. */
export function overdraft({ limit, taken, publishers }: ChannelShare): number {
  const due = (publishers > 0 && taken['main-publisher'] === 0 ? 1 : 0) + (taken.work === 0 ? 1 : 0);
  return Math.min(taken.consumer, Math.max(0, due - (limit - countOf(taken))));
}

export function countOf(counts: ChannelCounts): number {
  return counts['main-publisher'] + counts.publisher + counts.consumer + counts.work;
}
