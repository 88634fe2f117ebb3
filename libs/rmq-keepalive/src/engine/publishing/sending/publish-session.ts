/**
 * One life of the publishing channel: what goes out on it, what is in flight on it, and what the broker answers.
 *
 * What is sent in one turn of the event loop goes out in one write. A session is over with its channel; then its owner takes
 * back what was never confirmed and opens another one.
 */
import type { Link, PublishingChannel, ReturnedPublish } from '../../link/link.js';
import type { ShowPublish } from '../../link/shown-publishes.js';
import { ChannelClosedError, ConsumerCancelledError, ConsumeRefusedError } from '../../errors/channel-errors.js';
import { PublishNackedError, PublishReturnedError } from '../../errors/publish-errors.js';
import { asError } from '../../errors/reasons.js';
import { ConfirmLedger } from './confirm-ledger.js';
import type { Outgoing } from './outgoing-message.js';
import { type PublishFrame, PublishFrames } from '../../wire/publish-frames.js';
import type { ReplyConsumer } from './reply-consumer.js';

interface SessionHears {
  /** More may be sent than before: confirms came, or the socket can take more. */
  eased(): void;
  /** Without confirms: no queue was bound for it. */
  returned(message: ReturnedPublish): void;
  /** The channel is over, with the broker's reason if it was the broker. */
  closed(cause: Error | undefined): void;
}

/** What waits for confirms, and what has come of them; of one channel, or of all on a link together. */
export interface ConfirmTraffic {
  /** Publishes that wait for their confirm. */
  readonly inFlight: number;
  /** basic.ack so far. */
  readonly acks: number;
  /** basic.nack so far. */
  readonly nacks: number;
  /** Publishes that had been sent on an earlier channel already. */
  readonly sentBefore: number;
  /** How many of these were confirmed here. */
  readonly sentBeforeConfirmed: number;
}

/** So much is handed to the socket in one go, within one turn of the event loop. */
const WRITE_AT_BYTES = 64 * 1024;

export class PublishSession {
  readonly #confirms: 'on' | 'off';
  readonly #link: Link;
  readonly #hears: SessionHears;
  readonly #ledger = new ConfirmLedger<Outgoing>();
  /** Without confirms: not yet handed to the socket. */
  #unwritten: Outgoing[] = [];
  #channel: PublishingChannel | undefined;
  #frames: PublishFrames | undefined;
  #writeIsDue = false;
  #isOver = false;
  #lastReturnedTag = 0;
  #acks = 0;
  #nacks = 0;
  #sentBefore = 0;
  #sentBeforeConfirmed = 0;

  private constructor(link: Link, confirms: 'on' | 'off', hears: SessionHears) {
    this.#link = link;
    this.#confirms = confirms;
    this.#hears = hears;
  }

  /**
   * @param replies heard on the same channel, from before the first publish on: a direct reply-to address demands that
   * @throws {@link ChannelClosedError} and whatever opening a channel throws; {@link ConsumeRefusedError} of the replies
   */
  static async open(
    link: Link,
    confirms: 'on' | 'off',
    hears: SessionHears,
    replies?: ReplyConsumer,
  ): Promise<PublishSession> {
    const session = new PublishSession(link, confirms, hears);
    const channel = await link.openPublishingChannel(confirms, {
      confirmed: (tag, multiple) => session.#confirmed(tag, multiple),
      nacked: (tag, multiple) => session.#nacked(tag, multiple),
      returned: (message) => session.#returned(message),
      writable: () => hears.eased(),
      closed: (cause) => session.#closed(cause),
    });
    if (replies !== undefined) await session.#consumeReplies(replies, channel, link);
    if (session.#isOver || !link.isUp)
      throw new ChannelClosedError('the publisher', 'it ended while it was being opened');
    session.#channel = channel;
    session.#frames = new PublishFrames(channel.number, channel.maxFrameBytes);
    return session;
  }

  /** Messages under way. */
  get inFlight(): number {
    return this.#ledger.size + this.#unwritten.length;
  }

  /** From the oldest message that waits for its confirm to the newest. */
  get span(): number {
    return this.#ledger.span;
  }

  /** What the broker has said of all this so far. */
  get confirms(): ConfirmTraffic {
    return {
      inFlight: this.#ledger.size,
      acks: this.#acks,
      nacks: this.#nacks,
      sentBefore: this.#sentBefore,
      sentBeforeConfirmed: this.#sentBeforeConfirmed,
    };
  }

  /** Whether more can go: the socket takes it, and the broker does not block us. */
  get isWritable(): boolean {
    return !this.#isOver && this.#channel?.isWritable === true && this.#link.blockedBecause === undefined;
  }

  /** Whether others see each message before it goes out, in the async context of its publisher. */
  get isShown(): boolean {
    return this.#channel?.show !== undefined;
  }

  /** Puts the message behind the others of this turn. @throws TypeError or RangeError when AMQP cannot carry it */
  add(entry: Outgoing): void {
    if (this.#frames === undefined) return;
    const show = this.#channel?.show;
    if (show === undefined) this.#frames.add(entry);
    else addShown(entry, show, this.#frames);
    if (entry.wasSent) this.#sentBefore += 1;
    entry.sends += 1;
    if (this.#confirms === 'on') entry.tag = this.#ledger.sent(entry);
    else this.#unwritten.push(entry);
    if (this.#frames.bytes >= WRITE_AT_BYTES) this.write();
    else this.#writeSoon();
  }

  /** Hands everything that was added to the socket. */
  write(): void {
    if (this.#isOver || this.#frames === undefined || this.#frames.bytes === 0) return;
    this.#channel?.write(this.#frames.take());
    if (this.#confirms === 'off') for (const entry of this.#unwritten.splice(0)) entry.settle();
  }

  /** It was settled without a confirm: when that comes it settles nothing. */
  forget(tag: number): void {
    this.#ledger.forget(tag);
  }

  /** Oldest first. */
  entries(): IterableIterator<Outgoing> {
    return this.#ledger.entries();
  }

  /**
   * Everything under way, oldest first, to be sent again or given up.
   * @returns `sent`: it may have arrived; `unwritten`: it never left
   */
  takeBack(): { sent: Outgoing[]; unwritten: Outgoing[] } {
    const sent = this.#ledger.takeAll();
    for (const entry of sent) entry.returned = entry.tag = undefined;
    const unwritten = this.#unwritten.splice(0).filter((entry) => !entry.isSettled);
    for (const entry of unwritten) entry.sends -= 1;
    return { sent, unwritten };
  }

  /** The link is gone, and the channel with it. */
  end(): void {
    this.#isOver = true;
  }

  /** Resolves when the broker has read everything, or the link is gone. */
  async close(): Promise<void> {
    this.write();
    this.#isOver = true;
    await this.#channel?.close();
  }

  async #consumeReplies(replies: ReplyConsumer, channel: PublishingChannel, link: Link): Promise<void> {
    const { owner, queue } = replies;
    try {
      await channel.hearReplies(queue, (message) => {
        if (this.#isOver) return;
        if (message !== undefined) return replies.received(message);
        this.#closed(new ConsumerCancelledError(owner, queue));
        void channel.close();
      });
    } catch (thrown) {
      if (!link.isUp) throw thrown;
      this.#isOver = true;
      void channel.close();
      throw new ConsumeRefusedError(owner, queue, thrown);
    }
  }

  #writeSoon(): void {
    if (this.#writeIsDue) return;
    this.#writeIsDue = true;
    process.nextTick(() => {
      this.#writeIsDue = false;
      this.write();
    });
  }

  #confirmed(tag: number, multiple: boolean): void {
    if (this.#isOver) return;
    this.#acks += 1;
    this.#ledger.settle(tag, multiple, this.#sentBefore === 0 ? settleConfirmed : this.#confirmedAndCounted);
    this.#hears.eased();
  }

  #nacked(tag: number, multiple: boolean): void {
    if (this.#isOver) return;
    this.#nacks += 1;
    this.#ledger.settle(tag, multiple, settleNacked);
    this.#hears.eased();
  }

  readonly #confirmedAndCounted = (entry: Outgoing): void => {
    if (entry.sends > 1) this.#sentBeforeConfirmed += 1;
    settleConfirmed(entry);
  };

  /** basic.return comes before the confirm of the same message, in publishing order. */
  #returned(message: ReturnedPublish): void {
    if (this.#confirms === 'off') return this.#hears.returned(message);
    const { exchange, routingKey, messageId, replyCode, replyText } = message;
    const isMeant = (sent: Outgoing): boolean =>
      sent.returned === undefined &&
      sent.properties.mandatory === true &&
      sent.messageId === messageId &&
      sent.exchange === exchange &&
      sent.routingKey === routingKey;
    const entry = this.#ledger.find(isMeant, this.#lastReturnedTag) ?? this.#ledger.find(isMeant);
    if (entry === undefined) return;
    entry.returned = { replyCode, replyText };
    this.#lastReturnedTag = entry.tag ?? 0;
  }

  #closed(cause: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#hears.closed(cause);
  }
}

/** @throws TypeError or RangeError when AMQP cannot carry it, without what others have added to it either */
function addShown(entry: Outgoing, show: ShowPublish, frames: PublishFrames): void {
  const shown = entry.asItsPublisher(() => show(entry));
  try {
    if (shown.message === entry || !fits(shown.message, frames)) frames.add(entry);
  } catch (thrown) {
    shown.takeBack(asError(thrown));
    throw thrown;
  }
}

function fits(message: PublishFrame, frames: PublishFrames): boolean {
  try {
    frames.add(message);
    return true;
  } catch {
    return false;
  }
}

/** The ledger has let go of it. */
function settleConfirmed(entry: Outgoing): void {
  const { returned } = entry;
  entry.tag = undefined;
  entry.settle(
    returned === undefined ? undefined : new PublishReturnedError(entry, returned.replyCode, returned.replyText),
  );
}

function settleNacked(entry: Outgoing): void {
  entry.tag = undefined;
  entry.settle(new PublishNackedError(entry));
}
