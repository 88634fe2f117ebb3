/**
 * Sends what the outbox holds over one channel of the publishing link, and settles each message by what the broker says.
 *
 * Duty: every message is settled, by a confirm or by a typed error; none hangs.
 * Danger: a link may be lost between the send and the confirm. Then nobody knows whether the message arrived, so it is
 * sent again under the same message id once the link is back: at least once, and perhaps twice.
 * Choice: what is unconfirmed stays in the outbox, and goes back to its front when the session on the channel is over. When
 * the broker closes the channel because of one message, all others in flight suffer; `CulpritSearch` finds the guilty one.
 */
import type { Clock } from '../../base/clock.js';
import type { ReturnedPublish } from '../../link/link.js';
import { ChannelClosedError } from '../../errors/channel-errors.js';
import {
  OutboxFullError,
  type PublishAddress,
  PublishClosedError,
  PublishRefusedError,
  PublishTimeoutError,
} from '../../errors/publish-errors.js';
import { CulpritSearch } from './culprit-search.js';
import { EarlyEnds } from './early-ends.js';
import { Flushes } from './flushes.js';
import { Outbox, type ResolvedOutbox } from './outbox.js';
import type { Outgoing, Settled } from './outgoing-message.js';
import type { ConfirmTraffic, PublishSession } from './publish-session.js';
import { SenderChannel } from './sender-channel.js';
import type { OutboxSenderNeeds, OutboxSenderOptions, PublisherCounters, PublisherStatus } from './sender-needs.js';
import type { MissingReason } from './sender-state.js';
import { UnheardCloses } from './unheard-closes.js';

/** Messages sent without a confirm at a time: enough to keep the broker busy, few enough to send again quickly. */
const MAX_IN_FLIGHT = 4_096;
/** One confirm that stays away must not make the ledger grow without end while others pass it by. */
const MAX_LEDGER_SPAN = 1 << 20;

export class OutboxSender {
  readonly counters: PublisherCounters = { published: 0, publishFailed: 0, republished: 0 };
  readonly #needs: OutboxSenderNeeds;
  readonly #options: OutboxSenderOptions;
  readonly #hasConfirms: boolean;
  readonly #outbox: Outbox<Outgoing>;
  /** Opened, kept and closed by itself; messages go over its session. */
  readonly channel: SenderChannel;
  readonly #culpritSearch: CulpritSearch;
  readonly #earlyEnds: EarlyEnds;
  /** Whether others see what is sent; until the first channel says otherwise. */
  #isShown = true;
  #toRepublish = 0;
  #abandoned = 0;
  readonly #unheardCloses: UnheardCloses;
  readonly #flushes: Flushes;
  /** Called whenever more may be accepted or sent than before. */
  #eased: () => void = () => undefined;

  constructor(options: OutboxSenderOptions, needs: OutboxSenderNeeds, clock: Clock) {
    this.#needs = needs;
    this.#options = options;
    this.#hasConfirms = options.confirms === 'on';
    this.#outbox = new Outbox(options.bounds);
    this.#culpritSearch = new CulpritSearch(() => this.#outbox.unsent());
    this.#flushes = new Flushes(clock);
    this.#unheardCloses = new UnheardCloses(clock);
    const hears = {
      opened: () => this.#opened(),
      closed: (session: PublishSession, cause: Error) => this.#channelClosed(session, cause),
      eased: () => this.#pump(),
      returned: (message: ReturnedPublish) => needs.returned(message),
    };
    this.channel = new SenderChannel(options, needs, hears, clock);
    this.#earlyEnds = new EarlyEnds(clock, {
      unsettled: () => this.#unsettled(),
      timedOut: (entry) => entry.settle(new PublishTimeoutError(entry, entry.timeoutMs, entry.wasSent, this.hindrance)),
      clear: () => {
        this.#outbox.forgetSettled();
        this.#pump();
      },
    });
  }

  get status(): PublisherStatus {
    const inFlight = this.channel.session?.inFlight ?? 0;
    return {
      queued: Math.max(0, this.#outbox.messages - inFlight),
      inFlight,
      waiting: this.#outbox.waiting,
      bytes: this.#outbox.bytes,
    };
  }

  /** What waits for confirms on the present channel; `undefined` without one, or without confirms. */
  get confirms(): ConfirmTraffic | undefined {
    return this.#hasConfirms ? this.channel.session?.confirms : undefined;
  }

  /** Whether anybody has published with it, or it is the one that is always there. */
  get isInUse(): boolean {
    return this.channel.isNeeded;
  }

  get bounds(): ResolvedOutbox {
    return this.#outbox.bounds;
  }

  /** How many small messages the outbox would take at once. */
  get room(): number {
    return this.isOver ? 0 : this.#outbox.room;
  }

  /** Nothing is accepted any more. */
  get isOver(): boolean {
    return this.channel.isOver;
  }

  /** What stands between a message and the broker now, if anything does. */
  get obstacle(): string | undefined {
    return this.channel.obstacle ?? (this.room === 0 ? 'the outbox is full' : undefined);
  }

  /** The error behind the {@link obstacle}, if there is one. */
  get hindrance(): Error | undefined {
    return this.#needs.hindrance() ?? this.channel.missing?.cause;
  }

  /**
   * Why it has no channel on a link that lives, while somebody has to wait for that: for the one that is always there at any
   * time, for the others while they have something to send.
   */
  get missing(): (MissingReason & { readonly name: string }) | undefined {
    const { missing, name } = this.channel;
    if (missing === undefined) return undefined;
    const isWaitedFor = this.#options.opens === 'at-once' || this.#outbox.messages > 0 || this.#outbox.waiting > 0;
    return isWaitedFor ? { name, ...missing } : undefined;
  }

  /** Sets what is called whenever there may be less in the way than before. */
  onEased(eased: () => void): void {
    this.#eased = eased;
  }

  /**
   * Refuses a message before it is encoded, if there is no room for any: an outage must not cost more than it has to.
   * @returns the refusal, which counts as a failed publish and is reported
   */
  refuseIfFull(address: PublishAddress): Error | undefined {
    const refusal = this.#outbox.refusal;
    if (refusal === undefined || this.isOver) return undefined;
    const error = new OutboxFullError(address, refusal);
    this.#failed(error);
    return error;
  }

  /** Takes the message in; it is settled in any case, perhaps at once. */
  send(entry: Outgoing): void {
    const { watch } = this.#needs;
    if (watch !== undefined) entry.watched = watch(entry);
    if (this.isOver) return entry.settle(new PublishClosedError(entry, false));
    this.#outbox.add(entry);
    if (entry.isSettled) return;
    this.#earlyEnds.watch(entry);
    if (this.channel.session === undefined) this.channel.need();
    else this.#pump();
    // It waits, and goes out in another context than that of its publisher.
    if (this.#isShown && !entry.wasSent) entry.keepContext();
  }

  /** Resolves when nothing is left, or when `deadlineMs` have passed. @returns how many are left */
  async flush(deadlineMs: number): Promise<number> {
    if (this.#outbox.messages > 0) await this.#flushes.untilEmpty(deadlineMs);
    return this.#outbox.messages;
  }

  /** The link is gone: everything in flight goes back to the front of the outbox. */
  detach(cause: Error): void {
    const inFlight = this.#takeBackInFlight(this.channel.detach());
    this.#options.replies?.ended(cause);
    if (this.#hasConfirms) this.#culpritSearch.linkLostOver(inFlight, cause);
    if (this.isOver) this.#abandonAll();
  }

  /** No link comes up any more: what has no channel now never gets one, and is told at once. */
  beginClosing(): void {
    if (this.isOver) this.#abandonAll();
    this.#eased();
  }

  /** The broker's alarm is over: go on sending. */
  resume(): void {
    this.#pump();
    this.#eased();
  }

  /** Nothing more is accepted; what is left is rejected. @returns how many that were */
  close(): number {
    const session = this.channel.close();
    this.#earlyEnds.end();
    session?.write();
    this.#abandonAll(session);
    this.#eased();
    return this.#abandoned;
  }

  #opened(): void {
    this.#isShown = this.channel.session?.isShown === true;
    const republished = this.#toRepublish;
    this.#toRepublish = 0;
    if (republished > 0) {
      this.counters.republished += republished;
      this.#needs.republished(republished);
    }
    this.#pump();
    this.#eased();
  }

  #pump(): void {
    const channel = this.channel;
    for (let { session } = channel; session !== undefined && this.#maySend(session); { session } = channel) {
      const entry = this.#outbox.next();
      if (entry === undefined) return;
      this.#send(entry, session);
    }
  }

  #maySend(session: PublishSession): boolean {
    if (!session.isWritable) return false;
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

  /** By the broker. @returns the exchanges that may be missing */
  #channelClosed(session: PublishSession, cause: Error): ReadonlySet<string> {
    const inFlight = this.#takeBackInFlight(session);
    // They go again to find the guilty one, not because they were lost.
    this.#toRepublish = 0;
    const { replies } = this.#options;
    const answered = replies?.ended(new ChannelClosedError(replies.owner, cause)) ?? [];
    const exchanges = new Set([...inFlight.map(({ exchange }) => exchange), ...answered]);
    if (this.#hasConfirms) this.#culpritSearch.channelClosedOver(inFlight, cause);
    // Without confirms nobody else would hear of it.
    else if (replies === undefined) this.#tellUnheard(cause);
    return exchanges;
  }

  #tellUnheard(cause: Error): void {
    this.counters.publishFailed += 1;
    const error = new ChannelClosedError('the publisher without confirms', cause);
    this.#needs.failedUnheard(error, this.#unheardCloses.count());
  }

  /** The session is over. */
  #takeBackInFlight(session: PublishSession | undefined): Outgoing[] {
    const { sent = [], unwritten = [] } = session?.takeBack() ?? {};
    this.#outbox.putBack([...sent, ...unwritten]);
    this.#toRepublish += sent.length;
    return sent;
  }

  #abandonAll(session?: PublishSession): void {
    const { sent = [], unwritten = [] } = session?.takeBack() ?? {};
    for (const entry of [...sent, ...unwritten, ...this.#outbox.unsent()]) {
      if (entry.isSettled) continue;
      this.#abandoned += 1;
      entry.settle(new PublishClosedError(entry, entry.wasSent));
    }
    this.#outbox.forgetSettled();
  }

  /** Called by every message when it is settled. */
  readonly settled: Settled = (entry, error) => {
    entry.watched?.(error);
    this.#culpritSearch.isDone(entry);
    this.#earlyEnds.settled(entry);
    // Still in flight: a body that nobody waits for is not kept until a confirm that may never come.
    if (entry.tag !== undefined) this.channel.session?.forget(entry.tag);
    this.#outbox.release(entry);
    if (error !== undefined) this.#isSettledBy(error, entry);
    else {
      this.counters.published += 1;
      if (this.#hasConfirms) this.#needs.confirmed(entry.exchange);
    }
    if (this.#outbox.messages === 0) this.#flushes.tellEmpty();
    this.#eased();
  };

  #isSettledBy(error: Error, entry: Outgoing): void {
    // A first dead letter finds no queue: no publish of the user's has failed.
    if (!entry.isCopy) this.#failed(error);
    this.#earlyEnds.clearSoon();
  }

  #failed(error: Error): void {
    this.counters.publishFailed += 1;
    this.#needs.failed(error);
  }

  *#unsettled(): IterableIterator<Outgoing> {
    yield* this.#outbox.unsent();
    yield* this.channel.session?.entries() ?? [];
  }
}
