/**
 * The channels of a connection: those of its one or two links together, and what it has learned of a limit that
 * connection.tune does not tell.
 *
 * Danger: RabbitMQ can limit the channels of a user (`max-channels`) or of a node (`channel_max_per_node`) over all
 * connections. Nobody is told beforehand: the broker ends the *connection* that opens one too many (530), with all
 * consumers on it; and again after every reconnect.
 * Choice: that end teaches how many fit: as many as were open then. From there on no more are opened, on both links
 * together. The limit may be raised, or others may end, and nobody is told of that either. To try it on a link in use would
 * cost its consumers each time it is refused; so a link of its own asks for it (`channel-probe.ts`), while somebody waits.
 * A closed channel is counted by the broker for a moment longer; with a limit known, none is opened right behind one.
 */
import type { Clock, Timer } from '../base/clock.js';
import { ChannelsExhaustedError } from '../errors/channel-errors.js';
import { type ChannelLimit, probeDelayMs } from './channel-limit.js';
import type { ProbeWish } from './channel-probe.js';
import { type ChannelCounts, type ChannelUse, countOf, NO_CHANNELS, overdraft, roomFor } from './channel-room.js';
import { LinkChannels } from './link-channels.js';
import type { LinkRole } from '../reporting/lifecycle.js';

interface ChannelBudgetNeeds {
  readonly clock: Clock;
  /** Publishers that were made, the main one included. */
  publishers(): number;
  /** How many wait for a channel. */
  waiting(): number;
  /** A channel can be opened where there was none left before, perhaps. */
  freed(): void;
  /** So many consumers have a channel that publishing, or the work beside everything, cannot do without. */
  overdrawn(consumers: number): void;
  /** @returns how many more the broker allows; `undefined`: it could not be asked */
  probe(wish: ProbeWish, signal: AbortSignal): Promise<number | undefined>;
}

/** RabbitMQ has forgotten a closed channel after some milliseconds. */
const FORGOTTEN_AFTER_MS = 250;
/** More may be there the next time. */
const MAX_MORE = 256;
/** Beside those who wait: so that they need not go one by one. */
const ROOM_TO_MOVE = 16;
const PROBE_TIMEOUT_MS = 5_000;

export class ChannelBudget {
  readonly #links = new Set<LinkChannels>();
  /** What was learned, until it turns out that more fit. */
  #learned: { readonly limit: ChannelLimit; fits: number } | undefined;
  /** Of late, with a limit known. */
  #closings: { readonly at: number; readonly count: number }[] = [];
  #isFreedDue = false;
  #probing: Promise<void> | undefined;
  #probeTimer: Timer | undefined;
  #abort: AbortController | undefined;
  #probesInVain = 0;
  #isEnded = false;

  constructor(
    private readonly needs: ChannelBudgetNeeds,
    private readonly random: () => number = Math.random,
  ) {}

  /** @param limit what connection.tune agreed on */
  forLink(role: LinkRole, limit: number): LinkChannels {
    const { clock } = this.needs;
    const channels: LinkChannels = new LinkChannels(limit, role !== 'consuming', {
      clock,
      publishers: () => this.needs.publishers(),
      roomFor: (use) => (this.#learned === undefined ? Infinity : roomFor(use, this.#share(this.#learned.fits))),
      isWorking: () => this.#taken().work > 0,
      exhausted: (who) => this.#exhausted(who, channels),
      freed: () => this.#freedSoon(),
      beforeOpening: () => this.#untilItCanBeOpened(),
      closed: (count) => this.#closed(count),
      refused: (limit) => this.#refused(limit, channels),
      ended: () => this.#linkEnded(channels),
    });
    this.#links.add(channels);
    return channels;
  }

  /** What is known of a limit on the user's, or the node's, channels; `fits`: how many of them are for us. */
  get learned(): (ChannelLimit & { readonly fits: number }) | undefined {
    return this.#learned && { ...this.#learned.limit, fits: this.#learned.fits };
  }

  #refused(limit: ChannelLimit, last: LinkChannels): void {
    // It may have ended by now: what it had still counts.
    const open = this.#open + (this.#links.has(last) ? 0 : last.open);
    // With none the link that comes next could never find out; and it is all that there is to lose then.
    const fits = Math.max(1, Math.min(open, limit.limit, (this.#learned?.fits ?? Infinity) - 1));
    this.#learned = { limit, fits };
    this.#probesInVain = 0;
    this.#probeSoon();
    this.#settle();
  }

  get #open(): number {
    return [...this.#links].reduce((sum, channels) => sum + channels.open, 0);
  }

  /** With a limit known: when nothing is being tried out, and the broker does not count what was closed any more. */
  async #untilItCanBeOpened(): Promise<void> {
    if (this.#learned === undefined) return;
    await this.#probing;
    const now = this.needs.clock.now();
    this.#closings = this.#closings.filter(({ at }) => now - at < FORGOTTEN_AFTER_MS);
    const lingering = this.#closings.reduce((sum, { count }) => sum + count, 0);
    const last = this.#closings.at(-1);
    if (last === undefined || this.#open + lingering < this.#learned.fits) return;
    const waitMs = last.at + FORGOTTEN_AFTER_MS - now;
    await new Promise<void>((resolve) => this.needs.clock.setTimer(resolve, waitMs));
  }

  #closed(count: number): void {
    if (this.#learned !== undefined && count > 0) this.#closings.push({ at: this.needs.clock.now(), count });
  }

  /** Nothing is asked for any more. What is free is still given to those who finish their work. */
  end(): void {
    this.#isEnded = true;
    this.#probeTimer?.cancel();
    this.#abort?.abort();
  }

  #taken(): ChannelCounts {
    const sum: Record<ChannelUse, number> = { ...NO_CHANNELS };
    for (const { taken } of this.#links) for (const use of Object.keys(sum) as ChannelUse[]) sum[use] += taken[use];
    return sum;
  }

  #share(limit: number): Parameters<typeof roomFor>[1] {
    return { limit, taken: this.#taken(), publishers: this.needs.publishers() };
  }

  #exhausted(who: string, channels: LinkChannels): ChannelsExhaustedError {
    const { learned } = this;
    if (learned === undefined || countOf(channels.taken) >= channels.limit)
      return ChannelsExhaustedError.onLink(who, channels.limit);
    this.#probeSoon();
    return ChannelsExhaustedError.ofLimit(who, learned);
  }

  /** Once for all that get free in one turn, and not within the doings of whoever gave it back. */
  #freedSoon(): void {
    if (this.#isFreedDue) return;
    this.#isFreedDue = true;
    setImmediate(() => {
      this.#isFreedDue = false;
      for (const channels of this.#links) channels.serve();
      this.needs.freed();
    });
  }

  #linkEnded(channels: LinkChannels): void {
    this.#links.delete(channels);
    this.#closed(channels.open);
    this.#settle();
  }

  /** What the lost link had can be used by the other one; or that one has what is needed more now. */
  #settle(): void {
    if (this.#learned === undefined || this.#isEnded) return;
    const consumers = overdraft(this.#share(this.#learned.fits));
    if (consumers > 0) this.needs.overdrawn(consumers);
    this.#freedSoon();
  }

  #probeSoon(): void {
    if (this.#probeTimer !== undefined || this.#probing !== undefined || this.#isEnded) return;
    const delayMs = probeDelayMs(this.#probesInVain, this.random);
    this.#probeTimer = this.needs.clock.setTimer(() => this.#probeNow(), delayMs, 'background');
  }

  #probeNow(): void {
    this.#probeTimer = undefined;
    if (this.#isEnded || this.needs.waiting() === 0) return;
    const probing = this.#probe().catch(() => undefined); // it could not be asked, and will be again
    this.#probing = probing.finally(() => {
      this.#probing = undefined;
      if (this.needs.waiting() > 0) this.#probeSoon();
    });
  }

  async #probe(): Promise<void> {
    const learned = this.#learned;
    if (learned === undefined) return;
    const abort = (this.#abort = new AbortController());
    const timer = this.needs.clock.setTimer(() => abort.abort(), PROBE_TIMEOUT_MS);
    const unused = Math.max(0, learned.fits - this.#open);
    const wish = { unused, more: Math.min(MAX_MORE, this.needs.waiting() + ROOM_TO_MOVE) };
    const answered = this.needs.probe(wish, abort.signal).finally(() => timer.cancel());
    const more = (await answered) ?? 0;
    this.#closed(unused + more);
    this.#probesInVain = more > 0 ? 0 : this.#probesInVain + 1;
    // Refused meanwhile: what is known now is newer.
    if (more === 0 || this.#learned !== learned) return;
    learned.fits += more;
    this.#freedSoon();
  }
}
