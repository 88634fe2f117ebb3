/**
 * The channel that one sender sends over: opened with every link, opened again when the broker has closed it or had none to
 * give, closed at the end. Its state is the sender's.
 *
 * Danger: a link may be lost, and the sender closed, while a channel is being opened. What is opened for nobody would keep a
 * place that others wait for.
 */
import type { Clock } from '../../base/clock.js';
import { tookStep } from '../../base/steps.js';
import { ChannelClosedError, ChannelsExhaustedError, ConsumeRefusedError } from '../../errors/channel-errors.js';
import { asError } from '../../errors/reasons.js';
import type { ChannelPlace } from '../../link/link-channels.js';
import type { Link, ReturnedPublish } from '../../link/link.js';
import { PublishSession } from './publish-session.js';
import type { SenderChannelNeeds, SenderChannelOptions } from './sender-needs.js';
import {
  isNewReason,
  isOutOfChannels,
  type MissingReason,
  missingReasonOf,
  nextSenderState,
  type SenderState,
} from './sender-state.js';

/** The sender hears this of its channel. */
interface SenderChannelHears {
  /** A session has begun. */
  opened(): void;
  /** The broker has closed the channel. @returns the exchanges that may be missing */
  closed(session: PublishSession, cause: Error): ReadonlySet<string>;
  /** More may be sent over the session than before. */
  eased(): void;
  returned(message: ReturnedPublish): void;
}

/** A link without a free channel is of use to those who have one, and one may get free. */
const REOPEN_AFTER_MS = 5_000;

export class SenderChannel {
  #state: SenderState;
  /** Kept from one channel to the next on the same link. */
  #place: ChannelPlace | undefined;

  constructor(
    private readonly options: SenderChannelOptions,
    private readonly needs: SenderChannelNeeds,
    private readonly hears: SenderChannelHears,
    private readonly clock: Clock,
  ) {
    this.#state = { name: options.opens === 'at-once' ? 'waiting' : 'unneeded' };
  }

  /** What is sent over now. */
  get session(): PublishSession | undefined {
    return this.#state.name === 'sending' ? this.#state.session : undefined;
  }

  get isOpen(): boolean {
    return this.session !== undefined;
  }

  /** Whether anybody has published with it, or it is the one that is always there. */
  get isNeeded(): boolean {
    return this.#state.name === 'closed' ? this.#state.wasNeeded : this.#state.name !== 'unneeded';
  }

  /** Nothing is accepted any more. */
  get isOver(): boolean {
    switch (this.#state.name) {
      // First: it is asked for every message.
      case 'sending':
        return false;
      case 'unneeded':
        return this.needs.isEnding() && this.needs.link() === undefined;
      case 'waiting':
        return this.needs.isEnding();
      default:
        return this.isClosed;
    }
  }

  get isClosed(): boolean {
    return this.#state.name === 'closing' || this.#state.name === 'closed';
  }

  get isWaitingForChannel(): boolean {
    return isOutOfChannels(this.#state);
  }

  /** Why it has none, although its link lives. */
  get missing(): MissingReason | undefined {
    return missingReasonOf(this.#state);
  }

  /** What stands between a message and an open channel now, if anything does. */
  get obstacle(): string | undefined {
    const link = this.#link;
    if (link === undefined || !link.isUp) return 'the link is down';
    if (link.blockedBecause !== undefined) return `the broker blocks publishers (${link.blockedBecause})`;
    if (this.#state.name === 'unneeded' || this.session !== undefined) return undefined;
    return this.missing?.cause.message ?? 'the publishing channel is being opened';
  }

  get name(): string {
    return this.#isMain ? 'the publisher' : (this.options.replies?.owner ?? 'a further publisher');
  }

  get #isMain(): boolean {
    return this.options.opens === 'at-once';
  }

  get #link(): Link | undefined {
    return 'link' in this.#state ? this.#state.link : this.needs.link();
  }

  /** Wants a link and a channel, if there is none. */
  need(): void {
    this.needs.needLink();
    if (this.#state.name !== 'unneeded') return;
    const link = this.needs.link();
    if (link === undefined) this.#moveTo({ name: 'waiting' });
    else this.#repair(link, new Set());
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

  /** As {@link attach}; what fails on a link that lives is tried again later, without harm to the others on it. */
  async attachOrRetry(link: Link): Promise<void> {
    try {
      await this.attach(link);
    } catch (thrown) {
      this.#retryLater(link, asError(thrown));
    }
  }

  /** The link is up: opens the channel, if one is needed. */
  async attach(link: Link): Promise<void> {
    if (this.#state.name === 'unneeded' || this.isClosed) return;
    this.#moveTo({ name: 'opening', link, missing: this.missing });
    this.#takePlace(link);
    let session: PublishSession;
    try {
      session = await this.#open(link);
    } catch (thrown) {
      return this.#notOpened(link, thrown);
    }
    if (this.isClosed) return void this.#giveBack(session);
    if (!this.#isAt('opening', link))
      throw new ChannelClosedError('the publisher', 'its link ended while it was being opened');
    this.#moveTo({ name: 'sending', link, session });
    this.hears.opened();
  }

  /** The link is gone, and the channel with it. @returns the session that was open */
  detach(): PublishSession | undefined {
    const state = this.#state;
    this.#place = undefined;
    if (state.name === 'closing') this.#moveTo({ name: 'closed', wasNeeded: true });
    else if ('link' in state) this.#moveTo({ name: 'waiting' });
    if (state.name !== 'sending') return undefined;
    state.session.end();
    return state.session;
  }

  /** Somebody gave a channel back. */
  channelFreed(): void {
    if (this.isWaitingForChannel) this.#reopen();
  }

  /** Nothing is sent any more. The channel is still open: {@link closeChannel} or {@link release} follows. @returns its session */
  close(): PublishSession | undefined {
    const state = this.#state;
    if (this.isClosed) return undefined;
    if (!('link' in state)) this.#moveTo({ name: 'closed', wasNeeded: state.name === 'waiting' });
    else {
      const session = state.name === 'opening' ? 'being-opened' : this.session;
      this.#moveTo({ name: 'closing', link: state.link, session });
    }
    return state.name === 'sending' ? state.session : undefined;
  }

  /**
   * Before the link ends, for what was sent without confirms. Resolves when the broker has read it; at once if a confirm has
   * said so already, or if the broker's alarm keeps it from reading.
   */
  async closeChannel(): Promise<void> {
    const state = this.#state;
    if (state.name !== 'closing') return;
    this.#moveTo({ name: 'closed', wasNeeded: true });
    const { session } = state;
    if (session === undefined || session === 'being-opened') return;
    if (this.options.confirms === 'on' || state.link.blockedBecause !== undefined) return session.end();
    await session.close();
  }

  /**
   * While the link goes on: its channel is closed, and is there for others. Resolves when the broker has read what was sent;
   * at once if its alarm keeps it from reading, and the channel is free when it reads again.
   */
  async release(): Promise<void> {
    const state = this.#state;
    // One that is being opened is given back once it is open.
    if (state.name !== 'closing' || state.session === 'being-opened') return;
    const closed = this.#giveBack(state.session);
    if (state.link.blockedBecause === undefined) await closed;
  }

  async #giveBack(session?: PublishSession): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    if (this.#state.name === 'closing') this.#moveTo({ name: 'closed', wasNeeded: true });
    await session?.close();
    place?.release();
  }

  /** @throws {@link ChannelsExhaustedError} */
  #takePlace(link: Link): void {
    if (this.#place?.channels === link.channels) return;
    this.#place = link.channels.takeNow(this.#isMain ? 'main-publisher' : 'publisher', this.name);
  }

  async #open(link: Link): Promise<PublishSession> {
    const isCurrent = (): boolean => opened !== undefined && opened === this.session;
    const hears = {
      eased: () => void (isCurrent() && this.hears.eased()),
      returned: (message: ReturnedPublish) => this.hears.returned(message),
      closed: (cause: Error | undefined) => void (opened !== undefined && this.#closed(opened, cause)),
    };
    let opened: PublishSession | undefined;
    opened = await PublishSession.open(link, this.options.confirms, hears, this.options.replies);
    return opened;
  }

  #notOpened(link: Link, thrown: unknown): void {
    if (this.isClosed) return void this.#giveBack();
    if (!(thrown instanceof ConsumeRefusedError) || !this.#isAt('opening', link)) throw thrown;
    this.#moveTo({ name: 'without-channel', link, missing: this.#missingBecause(thrown), retry: undefined });
    // The link is as good as before: only this channel is of no use without its replies.
    this.options.replies?.refused(thrown, () => this.#isAt('without-channel', link) && this.#repair(link, new Set()));
  }

  #closed(session: PublishSession, cause: Error | undefined): void {
    const state = this.#state;
    // Without a cause the channel ends because its link does: detach() follows, and a new channel with the next link.
    if (cause === undefined || !('session' in state) || state.session !== session) return;
    if (state.name === 'sending') this.#moveTo({ name: 'repairing', link: state.link, missing: undefined });
    else void this.#giveBack();
    const exchanges = this.hears.closed(session, cause);
    // Who heard of it may have closed the sender.
    if (this.#isAt('repairing', state.link)) this.#askForRepair(state.link, exchanges);
  }

  #repair(link: Link, exchanges: ReadonlySet<string>): void {
    this.#moveTo({ name: 'repairing', link, missing: this.missing });
    this.#askForRepair(link, exchanges);
  }

  #askForRepair(link: Link, exchanges: ReadonlySet<string>): void {
    const attached = this.needs.repair(link, exchanges, async () => {
      if (this.#isAt('repairing', link)) await this.attach(link);
    });
    attached.catch((thrown: unknown) => this.#retryLater(link, asError(thrown)));
  }

  /** With the link lost, its recovery does it. */
  #retryLater(link: Link, cause: Error): void {
    if (!link.isUp || (!this.#isAt('repairing', link) && !this.#isAt('opening', link))) return;
    const isNews = isNewReason(cause, this.missing);
    const retry = this.clock.setTimer(() => this.#reopen(), REOPEN_AFTER_MS);
    this.#moveTo({ name: 'without-channel', link, missing: this.#missingBecause(cause), retry });
    if (isNews) this.needs.noChannel(cause, REOPEN_AFTER_MS);
  }

  #reopen(): void {
    if (this.#state.name === 'without-channel') this.#repair(this.#state.link, new Set());
  }

  #missingBecause(cause: Error): MissingReason {
    return { cause, since: this.missing?.since ?? this.clock.wallClock() };
  }

  #isAt(name: SenderState['name'], link: Link): boolean {
    return this.#state.name === name && 'link' in this.#state && this.#state.link === link;
  }

  #moveTo(to: SenderState): void {
    const from = this.#state;
    if (from.name === 'without-channel') from.retry?.cancel();
    this.#state = to;
    tookStep(this.name, nextSenderState, [from, to], (error) => this.needs.internalError(error));
  }
}
