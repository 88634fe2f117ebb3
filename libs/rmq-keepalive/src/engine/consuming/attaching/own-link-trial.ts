/**
 * Tries, on a link that nothing else is on, a subscription over which the connection was closed.
 *
 * Danger: a quorum queue counts every delivery that its link takes along, and RabbitMQ 4 drops a message at the limit (20 by
 * default): a message that cannot be delivered would vanish by being tried. An auto-delete queue goes with its last consumer,
 * and so with the end of a trial. And a trial that succeeds must leave no trace.
 * Choice: one message, the first of the queue (the guilty one was found there), given back by nack and noted as a return of
 * ours. After a few links that were lost over it, and on a queue that a trial may delete, the queue is only looked at, until it
 * has fewer messages than before: somebody has taken one out.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Clock } from '../../base/clock.js';
import { closeChannel, openGuardedChannel } from '../../link/guarded-channel.js';
import type { Link } from '../../link/link.js';
import type { SubscriptionKeeper } from './subscription-keeper.js';
import { firstMessage } from '../consumer/first-message.js';

/** Together with those that found it, far from the limit of a quorum queue. */
const MAX_LINKS_LOST_OVER_DELIVERIES = 5;

export class OwnLinkTrial {
  #linksLost = 0;
  #readyBefore = 0;

  constructor(
    private readonly keeper: SubscriptionKeeper,
    private readonly clock: Clock,
  ) {}

  /** Resolves with whether the subscription may come back. Rejects when the link is lost over it, or its queue is refused. */
  async run(link: Link): Promise<boolean> {
    const place = await link.channels.takeForWork(`the trial of subscription "${this.keeper.name}"`);
    try {
      let tellClosed: (cause: Error | undefined) => void = () => undefined;
      const closed = new Promise<never>((_, reject) => {
        tellClosed = (cause) => reject(cause ?? new Error('the channel was closed'));
      });
      closed.catch(() => undefined); // it is raced below, and ends with every trial
      const channel = await openGuardedChannel(link, (cause) => tellClosed(cause));
      const mayComeBack = await Promise.race([this.#tryOn(channel), closed]);
      await closeChannel(channel);
      return mayComeBack;
    } finally {
      place.release();
    }
  }

  async #tryOn(channel: Channel): Promise<boolean> {
    const queue = await this.#queueOn(channel);
    const { messageCount } = await channel.checkQueue(queue);
    const hasFewer = messageCount < this.#readyBefore;
    this.#readyBefore = messageCount;
    if (this.#wouldDeleteItsQueue) return hasFewer;
    if (hasFewer) this.#linksLost = 0;
    if (this.#linksLost >= MAX_LINKS_LOST_OVER_DELIVERIES && messageCount > 0) return false;
    await channel.prefetch(1);
    // From here on it is a delivery that costs the link.
    this.#linksLost += 1;
    await this.#consumeOne(channel, queue);
    this.#linksLost = 0;
    return true;
  }

  /** Nobody knows how a queue was declared that is somebody else's to declare. */
  get #wouldDeleteItsQueue(): boolean {
    const { isOwnQueue, ifQueueMissing, queue } = this.keeper.wanted;
    return !isOwnQueue && (ifQueueMissing === 'wait' || queue.options.autoDelete === true);
  }

  async #queueOn(channel: Channel): Promise<string> {
    const { wanted } = this.keeper;
    if (!wanted.isOwnQueue) return wanted.queue.name;
    const { queue } = await channel.assertQueue(wanted.queue.name, wanted.queue.options);
    for (const { exchange, routingKey, arguments: args } of wanted.bindings)
      await channel.bindQueue(queue, exchange, routingKey, args);
    return queue;
  }

  async #consumeOne(channel: Channel, queueName: string): Promise<void> {
    const { keeper } = this;
    const { exclusive } = keeper.wanted;
    let message: ConsumeMessage | undefined;
    let tellHeard = (): void => undefined;
    const heard = new Promise<void>((resolve) => (tellHeard = resolve));
    const { consumerTag } = await channel.consume(
      queueName,
      (arrived) => {
        message = arrived ?? undefined;
        tellHeard();
      },
      // Never without acks: the message would be gone.
      { arguments: keeper.consumerArguments, exclusive, noAck: false },
    );
    const newConsumer = { channel, queueName, isLive: true, hasHeard: message !== undefined, heard: () => heard };
    await firstMessage(newConsumer, this.clock);
    // First: given back before that, it would come here again at once.
    await channel.cancel(consumerTag);
    if (message === undefined || isOfStream(message) || keeper.wanted.isStream) return;
    keeper.noteReturn(message);
    channel.nack(message, false, true);
  }
}

/** A stream takes nothing back, whether anybody called it one or not. */
function isOfStream({ properties }: ConsumeMessage): boolean {
  return properties.headers?.['x-stream-offset'] !== undefined;
}
