/**
 * The consumers of one subscription that the broker has cancelled, while something of theirs is in hand.
 *
 * Danger: RabbitMQ 4.3 closes the channel (406) when another delivery of the cancelled consumer is too late.
 * Choice: the next consumer gets a channel of its own, and what runs is finished on this one.
 */
import { closeChannel } from '../../link/guarded-channel.js';
import type { ChannelPlace } from '../../link/link-channels.js';
import type { ConsumerCancelledError } from '../../errors/channel-errors.js';
import { NOT_FOUND } from '../../errors/reply-codes.js';
import { isPlausibleTimeout } from '../options/ack-timeout.js';
import type { Consumer } from './consumer.js';
import type { ConsumerChannel } from './consumer-channel.js';
import type { InHand } from './in-hand.js';

export class CancelledConsumers {
  /** With the places of their channels. */
  readonly #consumers = new Map<Consumer, ChannelPlace | undefined>();

  constructor(
    private readonly channel: ConsumerChannel,
    private readonly inHand: InHand,
    /** Whether another consumer is to follow. */
    private readonly isWanted: () => boolean,
  ) {}

  /** @returns resolves when the next one can be opened */
  async add(consumer: Consumer, cause: ConsumerCancelledError): Promise<void> {
    if (this.inHand.position !== undefined) return this.#forgetPositionIfGone(consumer);
    if (cause.oldestInHandMs !== undefined) return this.#leave(consumer, cause);
  }

  /** Its channel is over. */
  ended(consumer: Consumer): void {
    this.#consumers.get(consumer)?.release();
    this.#consumers.delete(consumer);
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#consumers.keys()].map((consumer) => this.#close(consumer)));
  }

  /** Asked before anybody, we for one, makes the stream again. If it is gone the answer ends the channel, which is told by itself. */
  async #forgetPositionIfGone({ channel, queueName }: Consumer): Promise<void> {
    try {
      await channel.checkQueue(queueName);
    } catch (thrown) {
      if ((thrown as { code?: unknown }).code === NOT_FOUND) this.inHand.position?.streamIsGone();
    }
  }

  async #leave(consumer: Consumer, cause: ConsumerCancelledError): Promise<void> {
    const { mayStay, place } = this.channel.setAside(consumer, { isForNext: this.isWanted() });
    this.#consumers.set(consumer, place);
    const finished = this.#finish(consumer, { cause, mayStay });
    if (!mayStay) await finished;
  }

  /**
   * A delivery may have been too late, if the queue is still there: then only what is as old was taken from us. Else all
   * that is in hand is void. What has not begun is left to the next consumer of the queue.
   */
  async #finish(
    consumer: Consumer,
    { cause, mayStay }: { cause: ConsumerCancelledError; mayStay: boolean },
  ): Promise<void> {
    consumer.intake.beginNoMore();
    const tooLate = consumer.asOldAsOldest();
    try {
      if (isPlausibleTimeout(cause.oldestInHandMs)) {
        // A queue that is gone ends the channel, and so tells all who are still at work.
        await consumer.channel.checkQueue(consumer.queueName);
        this.inHand.holding.wasTooLate(cause.oldestInHandMs);
        consumer.intake.takeBack(tooLate, cause);
        consumer.intake.handBackNotBegun();
        if (mayStay) await consumer.intake.untilIdle();
      }
      await this.#close(consumer);
    } catch {
      // The channel has ended, which is told by itself.
    }
  }

  /** In order, for the acks; its end is told by itself. */
  async #close(consumer: Consumer): Promise<void> {
    if (!consumer.isLive) return;
    consumer.flush();
    await closeChannel(consumer.channel);
  }
}
