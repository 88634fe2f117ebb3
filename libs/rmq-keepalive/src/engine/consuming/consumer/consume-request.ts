/** Asks the broker for the consumer of a subscription, on a channel that is open: its own queue first, with its bindings. */
import { ChannelClosedError, NotSingleActiveError } from '../../errors/channel-errors.js';
import type { Link } from '../../link/link.js';
import type { Entity } from '../../topology/topology.js';
import type { WantedSubscription } from '../options/subscription.js';
import type { Consumer } from './consumer.js';
import type { InHand } from './in-hand.js';

interface ConsumeRequestNeeds {
  /** Whether it shall be attached, now that the broker has answered. */
  isWanted(): boolean;
  /** Why its queue is not declared as it should be, as far as is known. */
  troubleWith(entity: Entity): Error | undefined;
  /** The broker has cancelled the consumer. */
  cancelled(consumer: Consumer): void;
}

/** The broker's consent. Its cancel may be read in the same turn, before anybody knows of the consent. */
export interface BegunConsumer {
  readonly tag: string;
  readonly isCancelled: boolean;
}

export class ConsumeRequest {
  #strayQueue: { link: Link; name: string } | undefined;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly inHand: InHand,
    private readonly needs: ConsumeRequestNeeds,
  ) {}

  /** Of the next basic.consume. */
  get arguments(): Record<string, unknown> {
    const { consumerArguments } = this.wanted;
    const { position } = this.inHand;
    return position === undefined ? consumerArguments : { ...consumerArguments, 'x-stream-offset': position.resume() };
  }

  /** @returns `undefined` when it is not wanted any more: then the consumer is cancelled, if there was one */
  async make(consumer: Consumer): Promise<BegunConsumer | undefined> {
    const { wanted } = this;
    const trouble = wanted.singleActive && this.needs.troubleWith(wanted.queue);
    if (trouble) throw new NotSingleActiveError(trouble);
    if (wanted.isOwnQueue) await this.#declareOwnQueue(consumer);
    if (wanted.isOwnQueue || wanted.ifQueueMissing === 'wait') await this.#bind(consumer);
    const begun = await this.consume(consumer);
    if (begun === undefined || this.needs.isWanted()) return begun;
    await consumer.channel.cancel(begun.tag);
    // What came meanwhile: the cancel that gives such back may be over by now.
    this.inHand.handBackNotBegun();
    return undefined;
  }

  /** @returns `undefined` when it is not wanted any more */
  async consume(consumer: Consumer): Promise<BegunConsumer | undefined> {
    const { wanted } = this;
    const { channel } = consumer;
    await channel.prefetch(this.inHand.holding.prefetch);
    if (!this.needs.isWanted()) return undefined;
    const begun: { tag?: string; isCancelled: boolean } = { isCancelled: false };
    const { consumerTag } = await channel.consume(
      consumer.queueName,
      (message) => {
        if (message !== null) {
          this.inHand.counters.delivered += 1;
          consumer.arrived(message);
        } else if (begun.tag === undefined || consumer.consumerTag !== begun.tag) begun.isCancelled = true;
        else this.needs.cancelled(consumer);
      },
      { arguments: this.arguments, exclusive: wanted.exclusive, noAck: wanted.ack === 'none' },
    );
    if (!consumer.isLive)
      throw new ChannelClosedError(`subscription "${wanted.name}"`, 'it ended right after basic.consume');
    begun.tag = consumerTag;
    // Both may be read in the same turn as the broker's consent, before this function goes on.
    return begun as BegunConsumer;
  }

  async #declareOwnQueue(consumer: Consumer): Promise<void> {
    const { name, options } = this.wanted.queue;
    await this.#deleteStrayQueue(consumer);
    const { queue } = await consumer.channel.assertQueue(name, options);
    consumer.queueName = queue;
    if (name === '') this.#strayQueue = { link: consumer.link, name: queue };
  }

  /** The broker names a new queue each time; the one before lives as long as the link, and would fill without a consumer. */
  async #deleteStrayQueue({ link, channel }: Consumer): Promise<void> {
    const stray = this.#strayQueue;
    this.#strayQueue = undefined;
    if (stray?.link === link) await channel.deleteQueue(stray.name);
  }

  /** All at once: the broker takes them in this order, and round trips do not add up. */
  async #bind({ channel, queueName }: Consumer): Promise<void> {
    await Promise.all(
      this.wanted.bindings.map(async ({ exchange, routingKey, arguments: args }) =>
        channel.bindQueue(queueName, exchange, routingKey, args),
      ),
    );
  }
}
