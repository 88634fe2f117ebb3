/**
 * Finds the entity or subscription over which the broker closes the whole connection, so that it can be left out.
 *
 * Duty: one bad thing harms only itself. A transient queue where these are not permitted (541), an argument too large for a
 * frame (501), a message that the broker cannot convert or amqplib cannot read: each ends the link and everything on it, and
 * so does the next link, for ever, unless the guilty one is left out.
 * Danger: the broker does not say which one it was, innocent ones are under way together with it, and links are lost for a
 * hundred other reasons, so an innocent one must not be convicted by accident.
 * Choice: a link knows what is asked on it and not answered yet. That is suspect when the link is closed, and is asked last,
 * one at a time, on the next link. After the second such close everything is asked one at a time. Convicted is a suspect that
 * was alone when the link was closed again: an entity that was the only one asked for, a subscription that no other consumer
 * stood beside (the message may have been another one's), for which an accused one is attached first.
 *
 * Pure: it counts and decides; the time is an argument.
 */
import { LinkLostError } from '../errors.js';
import { channelLimitIn } from './channel-limit.js';
import type { LinkRole } from './link.js';

/** What is known of a link when it is lost. */
export interface LostLink {
  readonly role: LinkRole;
  /** Names of what was asked for and not answered, subscriptions on trial included. */
  readonly asked: ReadonlySet<string>;
  /** How many consumers stood on it that were not on trial. */
  readonly attachedBeside: number;
  /** How long it had lived. */
  readonly ageMs: number;
}

/** In which order things are asked for on the next link. */
export interface Turns<T> {
  /** At the same time. */
  readonly together: readonly T[];
  /** After that, each when the one before was answered. */
  readonly oneByOne: readonly T[];
}

/** Closes that follow each other more closely are one trouble. */
const SAME_TROUBLE_MS = 60_000;
/** A link that ends without a word says little: only one that hardly lived counts, and it takes more of them. */
const YOUNG_LINK_MS = 2_000;
const CLOSES = {
  refused: { untilAllAreTried: 2, untilOneIsConvicted: 2 },
  abrupt: { untilAllAreTried: 3, untilOneIsConvicted: 5 },
};
/** An operator closed it, or the broker shuts down: over nothing of ours. */
const CONNECTION_FORCED = 320;
const SUBSCRIPTION = 'subscription ';

/** The name under which a subscription is asked for. */
export function subscriptionAsked(name: string): string {
  return `${SUBSCRIPTION}"${name}"`;
}

export class LinkCulpritSearch {
  readonly #suspects = new Set<string>();
  #accused: string | undefined;
  #areAllTried = false;
  #closes = 0;
  #lastCloseAt = -Infinity;

  /** A link is lost. @returns the name of the one that is guilty beyond doubt, if this convicts one */
  linkLost(link: LostLink, cause: Error, now: number): string | undefined {
    const kind = closeKind(cause);
    if (kind === 'unrelated' || !mayBeOverUs(link, kind)) return undefined;
    if (!this.#isFresh(now)) this.#forget();
    this.#lastCloseAt = now;
    this.#closes += 1;
    const bounds = CLOSES[kind];
    const culprit = this.#culpritOf(link, this.#closes >= bounds.untilOneIsConvicted);
    if (culprit !== undefined) {
      this.#forget();
      // Where there was one there may be another, which shall be found sooner.
      this.#closes = 1;
      return culprit;
    }
    if (this.#closes >= bounds.untilAllAreTried) this.#areAllTried = true;
    return undefined;
  }

  /** How `items` are asked for on the link that came up now. */
  turnsFor<T>(items: readonly T[], nameOf: (item: T) => string, now: number): Turns<T> {
    if (!this.#isFresh(now)) this.#forget();
    if (!this.#areAllTried && this.#suspects.size === 0) return { together: items, oneByOne: [] };
    const isAlone = (item: T): boolean => this.#areAllTried || this.#suspects.has(nameOf(item));
    const oneByOne = items.filter(isAlone);
    const accused = oneByOne.filter((item) => nameOf(item) === this.#accused);
    const others = oneByOne.filter((item) => nameOf(item) !== this.#accused);
    const together = items.filter((item) => !isAlone(item));
    // Beside nobody: what the link is closed over then is its own doing.
    return accused.length > 0
      ? { together: [], oneByOne: [...accused, ...others, ...together] }
      : { together, oneByOne: others };
  }

  #culpritOf({ asked, attachedBeside }: LostLink, isLateEnough: boolean): string | undefined {
    const [only] = asked;
    const isSuspect = only !== undefined && (this.#areAllTried || this.#suspects.has(only));
    if (asked.size !== 1 || !isSuspect) {
      for (const name of asked) this.#suspects.add(name);
      return undefined;
    }
    const isBesideOthers = only.startsWith(SUBSCRIPTION) && attachedBeside > 0;
    if (!isBesideOthers && isLateEnough) return only;
    this.#accused = only;
    return undefined;
  }

  #isFresh(now: number): boolean {
    return now - this.#lastCloseAt < SAME_TROUBLE_MS;
  }

  #forget(): void {
    this.#suspects.clear();
    this.#accused = undefined;
    this.#areAllTried = false;
    this.#closes = 0;
  }
}

type CloseKind = 'refused' | 'abrupt' | 'unrelated';

/** `refused`: the broker closed the connection with a reason, or amqplib could not read what came. */
export function closeKind(cause: Error): CloseKind {
  // Ours (peer dead, recovery stalled, blocked loop) are about the link, and not about what is on it.
  if (!(cause instanceof LinkLostError)) return 'unrelated';
  const { code, message } = (cause.cause ?? {}) as { code?: unknown; message?: unknown };
  // Whoever opened the one channel too many has done nothing wrong.
  if (channelLimitIn(String(message)) !== undefined) return 'unrelated';
  if (typeof code === 'number') return code === CONNECTION_FORCED ? 'unrelated' : 'refused';
  if (typeof code === 'string' || message === 'Unexpected close') return 'abrupt';
  return message === undefined || message === 'Heartbeat timeout' ? 'unrelated' : 'refused';
}

/** A publishing link that is closed with nothing asked for was closed over a message, which its publisher searches. */
function mayBeOverUs({ role, asked, ageMs }: LostLink, kind: CloseKind): boolean {
  if (role === 'publishing' && asked.size === 0) return false;
  return kind === 'refused' || ageMs < YOUNG_LINK_MS;
}
