/**
 * Finds the node that answers heartbeats and confirms nothing.
 *
 * Duty: a cluster node that has lost its peers keeps its clients, reads what they publish, and says nothing, for as long as
 * it is alone and, on RabbitMQ 4.0, on that link for ever. Publishes must not wait there until their time is over.
 * Danger: a broker that is only slow (a disk that syncs for seconds, an election) looks the same, and a link that is given
 * up for it costs it more than it had: everything in flight is sent again. Nor is one queue without a majority the node's
 * fault. And when our own event loop stood still, the confirms may lie in the socket.
 * Choice: a link is given up when publishes have waited on it for `publish.noConfirmsAfterMs` and *none of any kind* was
 * confirmed. Time counts only while something is in flight, no alarm holds it back and our own loop ran. Each time in a row
 * takes twice as long as the one before, up to four times: so a slow broker gets a message three times at most within the
 * default time limit, and gets more time with each. The consuming link leaves the same node only on proof: another one has
 * confirmed what this one did not.
 */
import type { Clock, Timer } from '../base/clock.js';
import { NoConfirmsError } from '../errors/connection-errors.js';
import type { ConfirmTraffic } from '../publishing/sending/publish-session.js';
import type { ConnectionStatus } from '../reporting/status.js';
import type { Link } from '../link/link.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';

/** The part of a supervised link that is looked at. */
type WatchedLink = Pick<LinkKeeper, 'state' | 'link' | 'lastByteAges'>;

interface ConfirmWatchNeeds {
  readonly publishing: WatchedLink;
  /** The same as `publishing` where one link does both. */
  readonly consuming: WatchedLink;
  /** Of the present publishing link. */
  confirms(): ConfirmTraffic;
  /** Publishes that wait, sent or not. */
  waiting(): number;
  /** No link goes to that address for a while, if there is another one. */
  avoid(address: string): void;
}

/** What was heard of a link's publishes, as a value. */
interface Silence {
  /** For how long something was in flight and nothing was confirmed. */
  readonly waitedMs: number;
  readonly acks: number;
  readonly nacks: number;
}

const NOTHING_HEARD: Silence = { waitedMs: 0, acks: 0, nacks: 0 };
const LOOKS_PER_LIMIT = 10;
const MIN_LOOK_MS = 25;
const MAX_LOOK_MS = 1_000;
const MAX_PATIENCE = 4;
/** After so long nobody knows any more how it was. */
const FORGOTTEN_AFTER_MS = 300_000;

/** `elapsedMs` later. A broker that cannot store a message says so (nack) after a long wait: that is no sign of a good node. */
export function silenceAfter(
  before: Silence,
  { inFlight, acks, nacks }: Pick<ConfirmTraffic, 'inFlight' | 'acks' | 'nacks'>,
  elapsedMs: number,
  limitMs: number,
): Silence {
  const isAnswered = acks !== before.acks || (nacks !== before.nacks && before.waitedMs < limitMs);
  if (isAnswered) return { waitedMs: 0, acks, nacks };
  return { waitedMs: before.waitedMs + (inFlight > 0 ? elapsedMs : 0), acks, nacks };
}

/** After how long a silence a link is given up, when `givenUp` were before it and nothing was confirmed since. */
export function patienceMs(limitMs: number, givenUp: number): number {
  return limitMs * Math.min(MAX_PATIENCE, 2 ** givenUp);
}

/** Whether publishes that an earlier link had not confirmed are confirmed by this one; or others, if there are none of these. */
export function isProof({ acks, sentBefore, sentBeforeConfirmed }: ConfirmTraffic): boolean {
  return sentBefore > 0 ? sentBeforeConfirmed > 0 : acks > 0;
}

export class ConfirmWatch {
  readonly #lookEveryMs: number;
  #timer: Timer | undefined;
  #isEnded = false;
  #lookedAt = 0;
  #link: Link | undefined;
  #silence = NOTHING_HEARD;
  #givenUp = 0;
  #gaveUpAt = -Infinity;
  #lastWaitedAt = -Infinity;
  #since: number | null = null;
  #lastGivenUpFor: NoConfirmsError | undefined;
  #suspect: { readonly address: string; readonly waitedMs: number } | undefined;

  /** @param limitMs `Infinity`: it never looks */
  constructor(
    private readonly limitMs: number,
    private readonly needs: ConfirmWatchNeeds,
    private readonly clock: Clock,
  ) {
    this.#lookEveryMs = Math.min(MAX_LOOK_MS, Math.max(MIN_LOOK_MS, limitMs / LOOKS_PER_LIMIT));
  }

  get status(): ConnectionStatus['noConfirms'] {
    return this.#since === null ? null : { since: this.#since, waiting: this.needs.waiting() };
  }

  /** Of the last link that was given up, while nothing has been confirmed since. */
  get error(): NoConfirmsError | undefined {
    return this.#since === null ? undefined : this.#lastGivenUpFor;
  }

  /** Looks from now on. */
  start(): void {
    if (this.limitMs === Infinity || this.#timer !== undefined || this.#isEnded) return;
    this.#lookedAt = this.clock.now();
    this.#arm();
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#timer = this.clock.setTimer(() => void this.#look(), this.#lookEveryMs, 'background');
  }

  async #look(): Promise<void> {
    const now = this.clock.now();
    // What our own loop stood still for is not the broker's.
    const elapsedMs = Math.min(now - this.#lookedAt, 2 * this.#lookEveryMs);
    this.#lookedAt = now;
    const link = this.#openLink();
    if (link !== undefined) this.#listen(link, elapsedMs, now);
    if (link !== undefined && this.#silence.waitedMs >= patienceMs(this.limitMs, this.#givenUp))
      await this.#judge(link);
    if (!this.#isEnded) this.#arm();
  }

  #openLink(): Link | undefined {
    const { publishing } = this.needs;
    return publishing.state.name === 'open' ? publishing.link : undefined;
  }

  #listen(link: Link, elapsedMs: number, now: number): void {
    const isNew = link !== this.#link;
    if (isNew) this.#silence = NOTHING_HEARD;
    this.#link = link;
    const confirms = this.needs.confirms();
    const { acks } = this.#silence;
    this.#silence = silenceAfter(this.#silence, confirms, isNew ? 0 : elapsedMs, this.limitMs);
    if (link.blockedBecause !== undefined) this.#silence = { ...this.#silence, waitedMs: 0 };
    if (confirms.acks !== acks) this.#confirmed(link, confirms);
    this.#forget(confirms.inFlight > 0, now);
  }

  #forget(isWaiting: boolean, now: number): void {
    if (isWaiting) this.#lastWaitedAt = now;
    if (now - this.#gaveUpAt >= FORGOTTEN_AFTER_MS) this.#givenUp = 0;
    if (now - this.#lastWaitedAt >= FORGOTTEN_AFTER_MS) this.#since = null;
  }

  async #judge(link: Link): Promise<void> {
    await this.clock.untilSocketsPolled();
    if (this.#isEnded || link !== this.#openLink()) return;
    this.#listen(link, 0, this.clock.now());
    const { waitedMs } = this.#silence;
    const { inFlight } = this.needs.confirms();
    if (waitedMs < patienceMs(this.limitMs, this.#givenUp) || inFlight === 0) return;
    this.#giveUp(link, waitedMs, inFlight);
  }

  #giveUp(link: Link, forMs: number, publishes: number): void {
    const { publishing, consuming } = this.needs;
    this.#givenUp += 1;
    this.#gaveUpAt = this.clock.now();
    this.#since ??= this.clock.wallClock() - forMs;
    this.#silence = { ...this.#silence, waitedMs: 0 };
    if (publishing !== consuming) this.#suspect ??= { address: link.endpoint, waitedMs: forMs };
    this.needs.avoid(link.endpoint);
    const lastByteAgoMs = publishing.lastByteAges()?.receivedAgoMs;
    this.#lastGivenUpFor = NoConfirmsError.ofPublishes(link.endpoint, { forMs, publishes, lastByteAgoMs });
    link.destroy(this.#lastGivenUpFor);
  }

  #confirmed(link: Link, confirms: ConfirmTraffic): void {
    this.#since = null;
    const suspect = this.#suspect;
    if (suspect === undefined || !isProof(confirms)) return;
    this.#suspect = undefined;
    const consumers = this.needs.consuming.link;
    if (suspect.address === link.endpoint || consumers?.endpoint !== suspect.address) return;
    consumers.destroy(NoConfirmsError.ofConsumers(suspect.address, suspect.waitedMs, link.endpoint));
  }
}
