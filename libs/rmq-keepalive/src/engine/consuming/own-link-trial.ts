/**
 * Tries, on a link that nothing else is on, a subscription over which the connection was closed.
 *
 * Danger: a quorum queue counts every delivery that its link takes along, and RabbitMQ 4 drops a message at the limit (20 by
 * default): a message that cannot be delivered would vanish by being tried. And a trial that succeeds must leave no trace.
 * Choice: one message, the first of the queue (the guilty one was found there), given back by nack. After a few links that were
 * lost over it the queue is only looked at, until it has fewer messages than before: somebody has taken one out.
 */
import type { Channel, Message } from 'amqplib';
import type { Clock, Timer } from '../clock.js';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { Link } from '../connection/link.js';
import type { WantedSubscription } from './subscription.js';

/** Together with those that found it, far from the limit of a quorum queue. */
const MAX_LINKS_LOST_OVER_DELIVERIES = 5;
const MESSAGE_WAIT_MS = 500;

export class OwnLinkTrial {
  #linksLost = 0;
  #readyBefore = 0;

  constructor(
    private readonly wanted: WantedSubscription,
    private readonly clock: Clock,
  ) {}

  /** Resolves with whether the subscription may come back. Rejects when the link is lost over it, or its queue is refused. */
  async run(link: Link, consumerArguments: Record<string, unknown>): Promise<boolean> {
    let tellClosed: (cause: Error | undefined) => void = () => undefined;
    const closed = new Promise<never>((_, reject) => {
      tellClosed = (cause) => reject(cause ?? new Error('the channel was closed'));
    });
    closed.catch(() => undefined); // it is raced below, and ends with every trial
    const channel = await openGuardedChannel(link, (cause) => tellClosed(cause));
    const queue = await this.#queueOn(channel);
    const { messageCount } = await channel.checkQueue(queue);
    const hasFewer = messageCount < this.#readyBefore;
    this.#readyBefore = messageCount;
    if (hasFewer) this.#linksLost = 0;
    if (this.#linksLost >= MAX_LINKS_LOST_OVER_DELIVERIES && messageCount > 0) return false;
    await channel.prefetch(1);
    // From here on it is a delivery that costs the link.
    this.#linksLost += 1;
    await Promise.race([this.#consumeOne(channel, queue, consumerArguments), closed]);
    this.#linksLost = 0;
    await closeChannel(channel);
    return true;
  }

  async #queueOn(channel: Channel): Promise<string> {
    const { wanted } = this;
    if (!wanted.isOwnQueue) return wanted.queue.name;
    const { queue } = await channel.assertQueue(wanted.queue.name, wanted.queue.options);
    for (const { exchange, routingKey, arguments: args } of wanted.bindings)
      await channel.bindQueue(queue, exchange, routingKey, args);
    return queue;
  }

  async #consumeOne(channel: Channel, queue: string, consumerArguments: Record<string, unknown>): Promise<void> {
    let tellHeard: (message: Message | null) => void = () => undefined;
    const heard = new Promise<Message | null>((resolve) => (tellHeard = resolve));
    const { consumerTag } = await channel.consume(
      queue,
      (message) => tellHeard(message),
      // Never without acks: the message would be gone.
      { arguments: consumerArguments, exclusive: this.wanted.exclusive, noAck: false },
    );
    const { messageCount } = await channel.checkQueue(queue);
    let timer: Timer | undefined;
    const isOver = new Promise<null>((resolve) => {
      timer = this.clock.setTimer(() => resolve(null), messageCount > 0 ? MESSAGE_WAIT_MS : 0);
    });
    const message = await Promise.race([heard, isOver]);
    timer?.cancel();
    // First: given back before that, it would come here again at once.
    await channel.cancel(consumerTag);
    if (message !== null && !this.#isOfStream(message)) channel.nack(message, false, true);
  }

  /** A stream takes nothing back, whether anybody called it one or not. */
  #isOfStream({ properties }: Message): boolean {
    return this.wanted.isStream || properties.headers?.['x-stream-offset'] !== undefined;
  }
}
