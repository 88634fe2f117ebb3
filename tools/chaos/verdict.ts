/**
 * What became of every message, from the ledgers. Pure, so that a spec can hold each way of losing one against it.
 *
 * A confirmed message must have been handled from the queue that nobody deletes, and from the deleted one too unless a
 * deletion explains it: it was in the queue then (and no more of those than the broker counted), or was published before
 * the queue was back.
 */
import type { Copy, Entry } from './ledger.js';
import { DELETED_QUEUE, QUEUE, QUEUES } from './protocol.js';
import type { Deletion } from './world.js';

export interface Evidence {
  readonly produced: readonly Entry[];
  readonly consumed: readonly Entry[];
  readonly deletions: readonly Deletion[];
  /** As the broker listed them at the end. */
  readonly consumers: Readonly<Record<string, number>>;
  /** A sentence for each process that ended when it should not, or not as it should. */
  readonly unexpectedEnds: readonly string[];
}

/** Counts that are zero when every promise was kept. */
export interface MustBeZero {
  readonly confirmedButLost: number;
  readonly unexplainedDuplicates: number;
  readonly promisesLeftPending: number;
  readonly unexpectedEnds: number;
  readonly consumersMissing: number;
  readonly consumersTooMany: number;
  readonly deadLettered: number;
  readonly handledButNeverPublished: number;
}

export interface Verdict {
  readonly published: number;
  readonly confirmed: number;
  /** Different messages that came out of the queue that nobody deletes. */
  readonly handled: number;
  /** In how many cases each error code came back to the caller. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly redelivered: number;
  readonly republished: number;
  /** Copies that deletions of their queue explain. */
  readonly deletedOnPurpose: number;
  /** Reconnects by link role. */
  readonly reconnects: Readonly<Record<string, number>>;
  readonly mustBeZero: MustBeZero;
  /** Some of the ids and sentences behind what is not zero. */
  readonly examples: Readonly<Record<string, readonly string[]>>;
}

type Handled = Extract<Entry, { what: 'handled' }>;

const MAX_EXAMPLES = 10;

export function judge(evidence: Evidence): Verdict {
  const published = instantsOf(evidence.produced, 'published');
  const confirmed = instantsOf(evidence.produced, 'confirmed');
  const rejected = entriesOf(evidence.produced, 'rejected');
  const handled = entriesOf(evidence.consumed, 'handled');
  const all = [...evidence.produced, ...evidence.consumed];

  const lost = lostFrom(QUEUE, confirmed, handled);
  const copies = accountForDeletions(lostFrom(DELETED_QUEUE, confirmed, handled), { published, confirmed }, evidence);
  const duplicates = duplicatesAmong(handled);
  const settled = new Set([...confirmed.keys(), ...rejected.map(({ id }) => id)]);
  const pending = [...published.keys()].filter((id) => !settled.has(id));
  const strangers = handled.filter(({ id }) => !published.has(id) && !confirmed.has(id));
  const reasons = entriesOf(all, 'crashed').map(({ reason }) => reason);
  const deadLettered = entriesOf(all, 'dead-lettered')
    // Those of the villains are meant to fail.
    .filter(({ subscription }) => QUEUES.some((queue) => queue === subscription))
    .map(({ reason }) => reason);
  const counts = QUEUES.map((queue) => evidence.consumers[queue] ?? 0);

  const lostAnywhere = [...lost.map((id) => `${id} of ${QUEUE}`), ...copies.unexplained];
  return {
    published: published.size,
    confirmed: confirmed.size,
    handled: new Set(handled.filter(({ queue }) => queue === QUEUE).map(({ id }) => id)).size,
    rejected: tally(rejected.map(({ code }) => code)),
    redelivered: duplicates.filter(({ copy }) => copy === 'redelivered').length,
    republished: duplicates.filter(({ copy }) => copy === 'republished').length,
    deletedOnPurpose: copies.explained,
    reconnects: tally(entriesOf(all, 'reconnected').map(({ role }) => role)),
    mustBeZero: {
      confirmedButLost: lostAnywhere.length,
      unexplainedDuplicates: duplicates.filter(({ copy }) => copy === 'unannounced').length,
      promisesLeftPending: pending.length,
      unexpectedEnds: evidence.unexpectedEnds.length,
      consumersMissing: sum(counts.map((count) => Math.max(0, 1 - count))),
      consumersTooMany: sum(counts.map((count) => Math.max(0, count - 1))),
      deadLettered: deadLettered.length,
      handledButNeverPublished: strangers.length,
    },
    examples: shortened({
      confirmedButLost: lostAnywhere,
      unexplainedDuplicates: duplicates
        .filter(({ copy }) => copy === 'unannounced')
        .map(({ id, queue }) => `${id} of ${queue}`),
      promisesLeftPending: pending.map(String),
      unexpectedEnds: [...evidence.unexpectedEnds, ...reasons],
      deadLettered,
      handledButNeverPublished: strangers.map(({ id }) => `${id}`),
    }),
  };
}

export function isFailed({ mustBeZero }: Verdict): boolean {
  return Object.values(mustBeZero).some((count) => count !== 0);
}

function lostFrom(queue: string, confirmed: ReadonlyMap<number, number>, handled: readonly Handled[]): number[] {
  const arrived = new Set(handled.filter((one) => one.queue === queue).map(({ id }) => id));
  return [...confirmed.keys()].filter((id) => !arrived.has(id));
}

/** A message belongs to the first deletion whose queue was not back when it was published; earlier ones were over by then. */
function accountForDeletions(
  missing: readonly number[],
  instants: { published: ReadonlyMap<number, number>; confirmed: ReadonlyMap<number, number> },
  { deletions }: Evidence,
): { explained: number; unexplained: string[] } {
  const left = new Map(deletions.map((deletion) => [deletion, deletion.messages]));
  const unexplained: string[] = [];
  for (const id of missing) {
    const publishedAt = instants.published.get(id) ?? Infinity;
    const confirmedAt = instants.confirmed.get(id) ?? Infinity;
    const deletion = deletions.find(({ backAt }) => publishedAt <= backAt);
    if (deletion === undefined) {
      unexplained.push(`${id} of ${DELETED_QUEUE}`);
    } else if (confirmedAt < deletion.deletedAt) {
      const room = left.get(deletion)!;
      if (room === 0) unexplained.push(`${id} of ${DELETED_QUEUE}, beyond the ${deletion.messages} that were deleted`);
      else left.set(deletion, room - 1);
    }
  }
  return { explained: missing.length - unexplained.length, unexplained };
}

/**
 * All copies but one of each message and queue. The original is the one that announced nothing, if there is one; it is
 * not always the first to be handled.
 */
function duplicatesAmong(handled: readonly Handled[]): { id: number; queue: string; copy: Copy }[] {
  const byMessage = new Map<string, Handled[]>();
  for (const one of handled) {
    const message = `${one.queue} ${one.id}`;
    const copies = byMessage.get(message);
    if (copies === undefined) byMessage.set(message, [one]);
    else copies.push(one);
  }
  return [...byMessage.values()].flatMap((copies) => {
    const original = Math.max(
      0,
      copies.findIndex(({ copy }) => copy === 'unannounced'),
    );
    return copies.toSpliced(original, 1);
  });
}

function entriesOf<W extends Entry['what']>(entries: readonly Entry[], what: W): Extract<Entry, { what: W }>[] {
  return entries.filter((entry): entry is Extract<Entry, { what: W }> => entry.what === what);
}

function instantsOf(entries: readonly Entry[], what: 'published' | 'confirmed'): Map<number, number> {
  return new Map(entriesOf(entries, what).map(({ id, at }) => [id, at]));
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function shortened(examples: Record<string, string[]>): Record<string, string[]> {
  const found = Object.entries(examples).filter(([, items]) => items.length > 0);
  return Object.fromEntries(found.map(([name, items]) => [name, items.slice(0, MAX_EXAMPLES)]));
}
