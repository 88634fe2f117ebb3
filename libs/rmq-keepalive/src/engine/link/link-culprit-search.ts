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
import { LinkLostError } from '../errors/connection-errors.js';
import { channelLimitIn } from './channel-limit.js';
import type { LinkRole } from '../reporting/lifecycle.js';

/** What is known of a link when it is lost. */
export interface LostLink {
  readonly role: LinkRole;
  /** Names of what was asked for and not answered, subscriptions on trial included. */
  readonly asked: ReadonlySet<string>;
  /** How many consumers stood on it that were not on trial. */
  readonly attachedBeside: number;
}

/** In which order things are asked for on the next link. */
export interface AskingOrder<T> {
  /** At the same time. */
  readonly together: readonly T[];
  /** After that, each when the one before was answered. */
  readonly oneByOne: readonly T[];
}

/** Closes that follow each other more closely are one trouble. */
const SAME_TROUBLE_MS = 60_000;
const CLOSES_UNTIL_ALL_ARE_TRIED = 2;
/** An operator closed it, or the broker shuts down: over nothing of ours. */
const CONNECTION_FORCED = 320;
/** How amqplib words an end that no frame announced. */
const CUT: ReadonlySet<string> = new Set(['Unexpected close', 'Heartbeat timeout']);
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
    if (!isOverWhatWeAsked(cause) || !mayBeOverUs(link)) return undefined;
    if (!this.#isFresh(now)) this.#forget();
    this.#lastCloseAt = now;
    this.#closes += 1;
    const culprit = this.#culpritOf(link);
    if (culprit !== undefined) {
      this.#forget();
      // Where there was one there may be another, which shall be found sooner.
      this.#closes = 1;
      return culprit;
    }
    if (this.#closes >= CLOSES_UNTIL_ALL_ARE_TRIED) this.#areAllTried = true;
    return undefined;
  }

  /** How `items` are asked for on the link that came up now. */
  turnsFor<T>(items: readonly T[], nameOf: (item: T) => string, now: number): AskingOrder<T> {
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

  #culpritOf({ asked, attachedBeside }: LostLink): string | undefined {
    const [only] = asked;
    const isSuspect = only !== undefined && (this.#areAllTried || this.#suspects.has(only));
    if (asked.size !== 1 || !isSuspect) {
      for (const name of asked) this.#suspects.add(name);
      return undefined;
    }
    const isBesideOthers = only.startsWith(SUBSCRIPTION) && attachedBeside > 0;
    if (!isBesideOthers) return only;
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

/**
 * Whether the broker closed the connection with a reason that may lie in what we asked for, or amqplib could not read what came.
 * A link that is cut without a word says nothing of that: networks and load balancers do it to everybody.
 */
export function isOverWhatWeAsked(cause: Error): boolean {
  // Ours (peer dead, recovery stalled, blocked loop) are about the link, and not about what is on it.
  if (!(cause instanceof LinkLostError)) return false;
  const { code, message } = (cause.cause ?? {}) as { code?: unknown; message?: unknown };
  // The one that opened a channel too many has done nothing wrong.
  if (channelLimitIn(String(message)) !== undefined) return false;
  if (typeof code === 'number') return code !== CONNECTION_FORCED;
  return code === undefined && typeof message === 'string' && !CUT.has(message);
}

/** A publishing link that is closed with nothing asked for was closed over a message, which its publisher searches. */
function mayBeOverUs({ role, asked }: LostLink): boolean {
  return role !== 'publishing' || asked.size > 0;
}
