/**
 * The channel of a subscription, with the consumer on it.
 *
 * It may outlive the consumer, whose acks are still to be sent; and another consumer may follow on it. The place for a channel
 * is kept from one channel to the next, for as long as the subscription can use one.
 */
import { closeChannel, openGuardedChannel } from '../../link/guarded-channel.js';
import type { ChannelPlace } from '../../link/link-channels.js';
import type { Link } from '../../link/link.js';
import { ChannelClosedError, type ChannelsExhaustedError } from '../../errors/channel-errors.js';
import type { Consumer } from './consumer.js';
import type { InHand } from './in-hand.js';

export class ConsumerChannel {
  #consumer: Consumer | undefined;
  #place: ChannelPlace | undefined;

  constructor(
    private readonly who: string,
    private readonly inHand: InHand,
    /** The channel of this consumer is over: by the broker, by a mistake of a handler, or with its link. */
    private readonly ended: (consumer: Consumer, reason: Error | undefined) => void,
  ) {}

  /** The present one, attached or not. */
  get consumer(): Consumer | undefined {
    return this.#consumer;
  }

  /** Takes a place for the next channel, and keeps it. */
  reservePlace({ channels }: Link): boolean {
    if (this.#place?.channels !== channels) this.#place = channels.tryTake('consumer');
    return this.#place !== undefined;
  }

  freePlace(): void {
    this.#place?.release();
    this.#place = undefined;
  }

  exhausted({ channels }: Link): ChannelsExhaustedError {
    return channels.exhausted(this.who);
  }

  /** The one that is open on this link, or a new one. @throws {@link ChannelsExhaustedError}, {@link ChannelClosedError} */
  async open(link: Link): Promise<Consumer> {
    const current = this.#consumer;
    if (current !== undefined && current.isLive && current.link === link) return current;
    if (!this.reservePlace(link)) throw this.exhausted(link);
    const opening: { consumer?: Consumer; cause?: Error; ended?: true } = {};
    const channel = await openGuardedChannel(link, (cause) => {
      opening.ended = true;
      opening.cause = cause;
      if (opening.consumer !== undefined) this.ended(opening.consumer, cause);
    });
    if (opening.ended) throw opening.cause ?? new ChannelClosedError(this.who, 'it ended while it was being opened');
    opening.consumer = this.inHand.open(link, channel);
    this.#consumer = opening.consumer;
    return opening.consumer;
  }

  /** The link is gone, and the channel with it. @returns the consumer that was on it */
  linkLost(): Consumer | undefined {
    this.#place = undefined;
    return this.channelLost();
  }

  /** The channel is over; the place is kept for the next one. @returns the consumer that was on it */
  channelLost(): Consumer | undefined {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    return consumer;
  }

  /**
   * The next consumer gets a channel of its own, if there is one, and this one goes on beside it.
   * @returns the place of its channel, `undefined` if that is needed for the next one
   */
  setAside(consumer: Consumer, { isForNext }: { isForNext: boolean }): { mayStay: boolean; place?: ChannelPlace } {
    const place = this.#place;
    this.#consumer = this.#place = undefined;
    const mayStay = !isForNext || this.reservePlace(consumer.link);
    if (mayStay) return { mayStay, place };
    this.#place = place;
    return { mayStay };
  }

  /** For the acks. Its end is told by itself. */
  async closeInOrder(consumer: Consumer): Promise<void> {
    const place = this.#place;
    this.#consumer = this.#place = undefined;
    consumer.flush();
    await closeChannel(consumer.channel);
    place?.release();
  }
}
