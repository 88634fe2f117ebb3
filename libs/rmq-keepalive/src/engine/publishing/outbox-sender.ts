/**
 * Sends what the outbox holds over one channel of the publishing link, and settles each message by what the broker says.
 *
 * Duty: every message is settled, by a confirm or by a typed error; none hangs.
 * Danger: a link may be lost between the send and the confirm. Then nobody knows whether the message arrived, so it is
 * sent again under the same message id once the link is back: at least once, and perhaps twice.
 * Choice: what is unconfirmed stays in the outbox, and goes back to its front when the session on the channel is over. When
 * the broker closes the channel because of one message, all others in flight suffer; `CulpritSearch` finds the guilty one.
 */
import type { Clock, Timer } from '../base/clock.js';
import type { ChannelPlace } from '../link/link-channels.js';
import type { Link, ReturnedPublish } from '../link/link.js';
import { asError } from '../errors/reasons.js';
import { ChannelClosedError, ChannelsExhaustedError, ConsumeRefusedError } from '../errors/channel-errors.js';
import {
  OutboxFullError,
  type PublishAddress,
  PublishClosedError,
  PublishRefusedError,
  PublishTimeoutError,
} from '../errors/publish-errors.js';
import { ACCESS_REFUSED } from '../errors/reply-codes.js';
import { AbortWatch } from '../base/abort-watch.js';
import { CulpritSearch } from './culprit-search.js';
import { MissingChannel, type MissingReason } from './missing-channel.js';
import { Outbox, type ResolvedOutbox } from './outbox.js';
import type { Outgoing, Settled } from './outgoing-message.js';
import { type ConfirmTraffic, PublishSession } from './publish-session.js';
import type { ReplyConsumer } from './reply-consumer.js';

/** An outbox sender asks this of the connection around it. */
export interface OutboxSenderNeeds {
  /** Starts the publishing link if nobody has needed it yet. */
  needLink(): void;
  /** Why nothing gets through, while nothing does: the last failed attempt, the loss, the node that confirms nothing. */
  hindrance(): Error | undefined;
  /** Declares these exchanges again, one may be missing, then lets `attach` open a channel. Rejects when that fails. */
  repair(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void>;
  /** The link lives, but has no channel for it: it is out of channels, say. */
  noChannel(cause: Error, retryInMs: number): void;
  /** @param exchange which took it; `undefined` without confirms */
  published(exchange: string | undefined): void;
  failed(cause: Error): void;
  /** The channel of a publisher without confirms was closed, for the so manieth time in short succession. */
  failedUnheard(cause: Error, times: number): void;
  republished(count: number): void;
  /** Without confirms: nobody waits for this one any more. */
  returned(message: ReturnedPublish): void;
}

export interface OutboxSenderOptions {
  readonly bounds: ResolvedOutbox;
  /** `off`: a message is settled when it was handed to the socket. */
  readonly confirms: 'on' | 'off';
  /** `at-once`: the channel is opened with every link. `on-demand`: with the first message. */
  readonly opens: 'at-once' | 'on-demand';
  /** Heard on the channel of every session. */
  readonly replies?: ReplyConsumer;
}

/** What is held, and where. */
export interface PublisherStatus {
  readonly queued: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly bytes: number;
}

/** Messages sent without a confirm at a time: enough to keep the broker busy, few enough to send again quickly. */
const MAX_IN_FLIGHT = 4_096;
/** One confirm that stays away must not make the ledger grow without end while others pass it by. */
const MAX_LEDGER_SPAN = 1 << 20;
const SWEEP_EVERY_MS = 250;
/** A link without a free channel is of use to those who have one, and one may get free. */
const REOPEN_AFTER_MS = 5_000;
/** Channel closes that follow each other more closely are one trouble: a missing exchange, say. */
const SAME_TROUBLE_MS = 60_000;

export class OutboxSender {
  readonly #needs: OutboxSenderNeeds;
  readonly #clock: Clock;
  readonly #outbox: Outbox<Outgoing>;
  readonly #confirms: 'on' | 'off';
  readonly #replies: ReplyConsumer | undefined;
  readonly #culpritSearch = new CulpritSearch<Outgoing>();
  readonly #aborts = new AbortWatch();
  #link: Link | undefined;
  #session: PublishSession | undefined;
  /** Kept from one channel to the next on the same link. */
  #place: ChannelPlace | undefined;
  /** Channels that are being opened. */
  #openings = 0;
  readonly #isMain: boolean;
  readonly #missing: MissingChannel;
  #isNeeded: boolean;
  #isClosing = false;
  #isClosed = false;
  #toRepublish = 0;
  #abandoned = 0;
  #sweeper: Timer | undefined;
  #nextDeadline = Infinity;
  #someGaveUp = false;
  /** Without confirms. */
  #closes = 0;
  #closedAt = -Infinity;
  readonly #whenEmpty = new Set<() => void>();
  /** Called whenever more may be accepted or sent than before. */
  #eased: () => void = () => undefined;

  constructor(options: OutboxSenderOptions, needs: OutboxSenderNeeds, clock: Clock) {
    this.#needs = needs;
    this.#clock = clock;
    this.#missing = new MissingChannel(clock);
    this.#outbox = new Outbox(options.bounds);
    this.#confirms = options.confirms;
    this.#replies = options.replies;
    this.#isMain = this.#isNeeded = options.opens === 'at-once';
  }

  get status(): PublisherStatus {
    const inFlight = this.#session?.inFlight ?? 0;
    return {
      queued: Math.max(0, this.#outbox.messages - inFlight),
      inFlight,
      waiting: this.#outbox.waiting,
      bytes: this.#outbox.bytes,
    };
  }

  /** What waits for confirms on the present channel; `undefined` without one, or without confirms. */
  get confirms(): ConfirmTraffic | undefined {
    return this.#confirms === 'on' ? this.#session?.confirms : undefined;
  }

  /** Whether anybody has published with it, or it is the one that is always there. */
  get isInUse(): boolean {
    return this.#isNeeded;
  }

  get hasChannel(): boolean {
    return this.#session !== undefined;
  }

  get bounds(): ResolvedOutbox {
    return this.#outbox.bounds;
  }

  /** How many small messages the outbox would take at once. */
  get room(): number {
    return this.isOver ? 0 : this.#outbox.room;
  }

  /** Refuses a message before it is encoded, if there is no room for any: an outage must not cost more than it has to. */
  refusalOf(address: PublishAddress): Error | undefined {
    const refusal = this.#outbox.refusal;
    if (refusal === undefined || this.isOver) return undefined;
    const error = new OutboxFullError(address, refusal);
    this.#needs.failed(error);
    return error;
  }

  /** Nothing is accepted any more. */
  get isOver(): boolean {
    return this.#isClosed || (this.#isClosing && this.#link === undefined);
  }

  /** What stands between a message and the broker now, if anything does. */
  get obstacle(): string | undefined {
    if (this.#link === undefined || !this.#link.isUp) return 'the link is down';
    if (this.#link.blockedBecause !== undefined) return `the broker blocks publishers (${this.#link.blockedBecause})`;
    if (this.#isNeeded && this.#session === undefined)
      return this.#missing.reason?.cause.message ?? 'the publishing channel is being opened';
    return this.room === 0 ? 'the outbox is full' : undefined;
  }

  /** The error behind the {@link obstacle}, if there is one. */
  get hindrance(): Error | undefined {
    return this.#needs.hindrance() ?? this.#missing.reason?.cause;
  }

  /** Sets who is told whenever there may be less in the way than before. */
  onEased(eased: () => void): void {
    this.#eased = eased;
  }

  /** Takes the message in; it is settled in any case, perhaps at once. */
  send(entry: Outgoing): void {
    if (this.isOver) return entry.settle(new PublishClosedError(entry, false));
    this.#outbox.add(entry);
    if (entry.isSettled) return;
    if (entry.signal !== undefined) this.#aborts.add(entry.signal, entry);
    if (entry.deadline < this.#nextDeadline) this.#nextDeadline = entry.deadline;
    this.#armSweeper();
    if (this.#session === undefined) this.need();
    else this.#pump();
  }

  /** Wants a link and a channel, if there is none. */
  need(): void {
    this.#needs.needLink();
    if (this.#isNeeded) return;
    this.#isNeeded = true;
    const link = this.#link;
    if (link !== undefined) this.#repair(link, new Set());
  }

  /** Resolves when nothing is left, or when `deadlineMs` have passed. @returns how many are left */
  async flush(deadlineMs: number): Promise<number> {
    if (this.#outbox.messages === 0) return 0;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(() => {
        this.#whenEmpty.delete(isEmpty);
        resolve();
      }, deadlineMs);
      const isEmpty = (): void => {
        timer.cancel();
        resolve();
      };
      this.#whenEmpty.add(isEmpty);
    });
    return this.#outbox.messages;
  }

  /** As {@link attach}; but where the link has no channel left, it waits for one. */
  async attachOrWait(link: Link): Promise<void> {
    try {
      await this.attach(link);
    } catch (thrown) {
      if (!(thrown instanceof ChannelsExhaustedError)) throw thrown;
      this.#retryLater(link, thrown);
    }
  }

  get isWaitingForChannel(): boolean {
    return this.#missing.isOutOfChannels;
  }

  /**
   * Why it has no channel on a link that lives, while somebody has to wait for that: for the one that is always there at any
   * time, for the others while they have something to send.
   */
  get missing(): (MissingReason & { readonly name: string }) | undefined {
    const { reason } = this.#missing;
    if (reason === undefined || this.#isClosed) return undefined;
    const isWaitedFor = this.#isMain || this.#outbox.messages > 0 || this.#outbox.waiting > 0;
    return isWaitedFor ? { name: this.#name, ...reason } : undefined;
  }

  /** Somebody gave a channel back. */
  channelFreed(): void {
    if (this.isWaitingForChannel) this.#reopen();
  }

  /** As {@link attach}; what fails on a link that lives is tried again later, without harm to the others on it. */
  async attachOrRetry(link: Link): Promise<void> {
    try {
      await this.attach(link);
    } catch (thrown) {
      this.#retryLater(link, asError(thrown));
    }
  }

  /** The link is up: opens the channel, if one is needed, and sends again what was never confirmed. */
  async attach(link: Link): Promise<void> {
    this.#link = link;
    if (!this.#isNeeded || this.#isClosed) return;
    let session: PublishSession | undefined;
    const isCurrent = (): boolean => session !== undefined && session === this.#session;
    this.#takePlace(link);
    this.#openings += 1;
    try {
      session = await this.#open(link, isCurrent);
    } catch (thrown) {
      if (this.#isClosed) return void this.#giveBack();
      if (!(thrown instanceof ConsumeRefusedError)) throw thrown;
      this.#missing.because(thrown);
      // The link is as good as before: only this channel is of no use without its replies.
      return this.#replies?.refused(thrown, () => this.#link === link && this.#repair(link, new Set()));
    } finally {
      this.#openings -= 1;
    }
    if (this.#isClosed) return void this.#giveBack(session);
    if (link !== this.#link) throw new ChannelClosedError('the publisher', 'its link ended while it was being opened');
    this.#session = session;
    this.#missing.over();
    const republished = this.#toRepublish;
    this.#toRepublish = 0;
    if (republished > 0) this.#needs.republished(republished);
    this.#pump();
    this.#eased();
  }

  /** @throws {@link ChannelsExhaustedError} */
  #takePlace(link: Link): void {
    if (this.#place?.channels === link.channels) return;
    this.#place = link.channels.takeNow(this.#isMain ? 'main-publisher' : 'publisher', this.#name);
  }

  get #name(): string {
    return this.#isMain ? 'the publisher' : (this.#replies?.owner ?? 'a further publisher');
  }

  #open(link: Link, isCurrent: () => boolean): Promise<PublishSession> {
    const events = {
      eased: () => void (isCurrent() && this.#pump()),
      returned: (message: ReturnedPublish) => this.#needs.returned(message),
      closed: (cause: Error | undefined) => void (isCurrent() && this.#channelClosed(cause)),
    };
    return PublishSession.open(link, this.#confirms, events, this.#replies);
  }

  /** The link is gone: everything in flight goes back to the front of the outbox. */
  detach(cause: Error): void {
    this.#link = this.#place = undefined;
    this.#missing.over();
    this.#session?.end();
    const inFlight = this.#takeBackInFlight();
    this.#replies?.ended(cause);
    if (isOverOurFrames(cause)) this.#accuse(inFlight, cause);
    else this.#culpritSearch.clear();
    if (this.#isClosing) this.#abandonAll();
  }

  /** No link comes up any more: what has no channel now never gets one, and is told at once. */
  beginClosing(): void {
    this.#isClosing = true;
    if (this.#session === undefined && this.#link === undefined) this.#abandonAll();
    this.#eased();
  }

  /** The broker's alarm is over: go on sending. */
  resume(): void {
    this.#pump();
    this.#eased();
  }

  /** Nothing more is accepted; what is left is rejected. @returns how many that were */
  close(): number {
    this.#isClosed = true;
    this.#sweeper?.cancel();
    this.#missing.stopRetrying();
    this.#session?.write();
    this.#abandonAll();
    this.#eased();
    return this.#abandoned;
  }

  /**
   * After {@link close}, before the link ends, for what was sent without confirms. Resolves when the broker has read it; at once if a confirm has
   * said so already, or if the broker's alarm keeps it from reading.
   */
  async closeChannel(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (this.#confirms === 'on' || this.#link?.blockedBecause !== undefined) return session?.end();
    await session?.close();
  }

  /**
   * After {@link close}, while the link goes on: its channel is closed, and is there for others. Resolves when the broker has
   * read what was sent; at once if its alarm keeps it from reading, and the channel is free when it reads again.
   */
  async release(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    // One that is being opened is given back once it is open.
    if (session === undefined && this.#openings > 0) return;
    const closed = this.#giveBack(session);
    if (this.#link?.blockedBecause === undefined) await closed;
  }

  async #giveBack(session?: PublishSession): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    await session?.close();
    place?.release();
  }

  #pump(): void {
    for (let session = this.#session; session !== undefined && this.#maySend(session); session = this.#session) {
      const entry = this.#outbox.next();
      if (entry === undefined) return;
      this.#send(entry, session);
    }
  }

  #maySend(session: PublishSession): boolean {
    if (!session.isWritable || this.#link?.blockedBecause !== undefined) return false;
    if (this.#culpritSearch.isUnderWay) return session.inFlight === 0;
    return session.inFlight < MAX_IN_FLIGHT && session.span < MAX_LEDGER_SPAN;
  }

  #send(entry: Outgoing, session: PublishSession): void {
    try {
      session.add(entry);
    } catch (thrown) {
      // AMQP cannot carry it: only this message is wrong.
      entry.settle(new PublishRefusedError(entry, thrown, 'AMQP'));
    }
  }

  #channelClosed(cause: Error | undefined): void {
    // Without a cause the channel ends because its link does: detach() follows, and a new channel with the next link.
    const link = this.#link;
    if (cause === undefined || link === undefined) return;
    const inFlight = this.#takeBackInFlight();
    // They go again to find the guilty one, not because they were lost.
    this.#toRepublish = 0;
    const answered = this.#replies?.ended(new ChannelClosedError(this.#replies.owner, cause)) ?? [];
    const exchanges = new Set([...inFlight.map(({ exchange }) => exchange), ...answered]);
    this.#accuse(inFlight, cause);
    // Without confirms nobody else would hear of it.
    if (this.#confirms === 'off' && this.#replies === undefined) this.#tellUnheard(cause);
    this.#repair(link, exchanges);
  }

  #tellUnheard(cause: Error): void {
    const now = this.#clock.now();
    this.#closes = now - this.#closedAt < SAME_TROUBLE_MS ? this.#closes + 1 : 1;
    this.#closedAt = now;
    this.#needs.failedUnheard(new ChannelClosedError('the publisher without confirms', cause), this.#closes);
  }

  #repair(link: Link, exchanges: ReadonlySet<string>): void {
    const attached = this.#needs.repair(link, exchanges, async () => {
      if (link === this.#link) await this.attach(link);
    });
    attached.catch((thrown: unknown) => this.#retryLater(link, asError(thrown)));
  }

  /** With the link lost, its recovery does it. */
  #retryLater(link: Link, cause: Error): void {
    if (link !== this.#link || !link.isUp || this.#isClosed) return;
    if (this.#missing.because(cause)) this.#needs.noChannel(cause, REOPEN_AFTER_MS);
    this.#missing.retryIn(REOPEN_AFTER_MS, () => this.#reopen());
  }

  #reopen(): void {
    this.#missing.stopRetrying();
    if (this.#link !== undefined) this.#repair(this.#link, new Set());
  }

  #accuse(inFlight: readonly Outgoing[], cause: Error): void {
    if (this.#confirms === 'off') return;
    for (const guilty of this.#culpritSearch.channelClosedOver(inFlight)) {
      guilty.settle(new PublishRefusedError(guilty, cause));
      if (codeOf(cause) === ACCESS_REFUSED) this.#refuseAllTo(guilty, cause);
    }
  }

  /** The right to write hangs on the address alone: a thousand messages to the same one cost three channels, not two thousand. */
  #refuseAllTo({ exchange, routingKey }: Outgoing, cause: Error): void {
    const unsent = [...this.#outbox.unsent()];
    for (const entry of unsent)
      if (entry.exchange === exchange && entry.routingKey === routingKey)
        entry.settle(new PublishRefusedError(entry, cause));
  }

  /** The session is over. */
  #takeBackInFlight(): Outgoing[] {
    const { sent = [], unwritten = [] } = this.#session?.takeBack() ?? {};
    this.#session = undefined;
    this.#outbox.putBack([...sent, ...unwritten]);
    this.#toRepublish += sent.length;
    return sent;
  }

  /** The session goes on: it is closed in order later. */
  #abandonAll(): void {
    const { sent = [], unwritten = [] } = this.#session?.takeBack() ?? {};
    for (const entry of [...sent, ...unwritten, ...this.#outbox.unsent()]) {
      if (entry.isSettled) continue;
      this.#abandoned += 1;
      entry.settle(new PublishClosedError(entry, entry.wasSent));
    }
    this.#outbox.forgetSettled();
  }

  /** Called by every message when it is settled. */
  readonly settled: Settled = (entry, error) => {
    this.#culpritSearch.isDone(entry);
    if (entry.signal !== undefined) this.#aborts.remove(entry.signal, entry);
    // A body that nobody waits for is not kept until a confirm that may never come.
    if (entry.tag !== undefined) this.#session?.forget(entry.tag);
    else if (error !== undefined) this.#someGaveUp = true;
    this.#outbox.release(entry);
    if (error === undefined) this.#needs.published(this.#confirms === 'on' ? entry.exchange : undefined);
    // A first dead letter finds no queue: no publish of the user's has failed.
    else if (!entry.isCopy) this.#needs.failed(error);
    if (this.#outbox.messages === 0 && this.#whenEmpty.size > 0) this.#tellIsEmpty();
    this.#eased();
  };

  #tellIsEmpty(): void {
    const waiting = [...this.#whenEmpty];
    this.#whenEmpty.clear();
    for (const isEmpty of waiting) isEmpty();
  }

  #armSweeper(): void {
    if (this.#sweeper !== undefined || this.#isClosed) return;
    this.#sweeper = this.#clock.setTimer(() => void this.#sweep(), SWEEP_EVERY_MS);
  }

  /** One timer for all time limits: a timer for every message would cost more than the message. */
  async #sweep(): Promise<void> {
    // After a stall the confirms may lie unread in the socket: nobody is told that they did not come before that is read.
    if (this.#clock.now() >= this.#nextDeadline) await this.#clock.untilSocketsPolled();
    this.#sweeper = undefined;
    if (this.#isClosed) return;
    const now = this.#clock.now();
    if (now >= this.#nextDeadline) this.#endOverdue(now);
    if (this.#someGaveUp) this.#outbox.forgetSettled();
    this.#someGaveUp = false;
    if (this.#outbox.messages > 0 || this.#outbox.waiting > 0) this.#armSweeper();
    this.#pump();
  }

  #endOverdue(now: number): void {
    this.#nextDeadline = Infinity;
    for (const entry of [...this.#outbox.unsent(), ...(this.#session?.entries() ?? [])]) {
      if (entry.isSettled) continue;
      if (now >= entry.deadline)
        entry.settle(new PublishTimeoutError(entry, entry.timeoutMs, entry.wasSent, this.hindrance));
      else if (entry.deadline < this.#nextDeadline) this.#nextDeadline = entry.deadline;
    }
  }
}

/** The broker ended the whole connection over something that we sent (frame, syntax, command, not allowed, internal error). */
function isOverOurFrames(cause: Error): boolean {
  const code = codeOf(cause.cause);
  return code !== undefined && [501, 502, 503, 504, 505, 541].includes(code);
}

function codeOf(cause: unknown): number | undefined {
  const code: unknown = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}
