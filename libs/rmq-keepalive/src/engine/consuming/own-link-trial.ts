/**
 * Tries, on a link that nothing else is on, a subscription over which the connection was closed.
 *
 * Danger: a quorum queue counts every delivery that its link takes along, and RabbitMQ 4 drops a message at the limit (20 by
 * default): a message that cannot be delivered would vanish by being tried, and innocent ones with it. And a trial that
 * succeeds must leave no trace.
 * Choice: as many messages as the subscription would be sent, since the guilty one may stand behind others; none is handled,
 * and all are given back by nack. After a few links that were lost over a delivery the queue is only looked at, until it has
 * fewer messages than before: somebody has taken one out.
 */
import type { Channel, Message } from 'amqplib';
import type { Clock, Timer } from '../clock.js';
import { closeChannel, openGuardedChannel } from '../connection/guarded-channel.js';
import type { Link } from '../connection/link.js';
import type { WantedSubscription } from './subscription.js';

/** Together with those that found it, far from the limit of a quorum queue. */
const MAX_LINKS_LOST_OVER_DELIVERIES = 5;
const MESSAGE_WAIT_MS = 500;
/** Of a prefetch without a bound. */
const MOST_MESSAGES = 1_000;

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
    await channel.prefetch(this.#atATime);
    // From here on it is a delivery that costs the link.
    this.#linksLost += 1;
    await Promise.race([this.#consume(channel, queue, messageCount, consumerArguments), closed]);
    this.#linksLost = 0;
    await closeChannel(channel);
    return true;
  }

  get #atATime(): number {
    return Math.min(this.wanted.prefetch, MOST_MESSAGES);
  }

  async #queueOn(channel: Channel): Promise<string> {
    const { wanted } = this;
    if (!wanted.isOwnQueue) return wanted.queue.name;
    const { queue } = await channel.assertQueue(wanted.queue.name, wanted.queue.options);
    for (const { exchange, routingKey, arguments: args } of wanted.bindings)
      await channel.bindQueue(queue, exchange, routingKey, args);
    return queue;
  }

  async #consume(
    channel: Channel,
    queue: string,
    ready: number,
    consumerArguments: Record<string, unknown>,
  ): Promise<void> {
    const { exclusive, isStream } = this.wanted;
    const expected = Math.min(ready, this.#atATime);
    const messages: Message[] = [];
    let tellComplete = (): void => undefined;
    const complete = new Promise<void>((resolve) => (tellComplete = resolve));
    const { consumerTag } = await channel.consume(
      queue,
      (message) => {
        if (message !== null && messages.push(message) < expected) return;
        tellComplete();
      },
      // Never without acks: the messages would be gone.
      { arguments: consumerArguments, exclusive, noAck: false },
    );
    // What is sent first has been sent by the time of the answer, but on quorum queues.
    await channel.checkQueue(queue);
    let timer: Timer | undefined;
    const isOver = new Promise<void>((resolve) => {
      timer = this.clock.setTimer(resolve, expected > messages.length ? MESSAGE_WAIT_MS : 0);
    });
    await Promise.race([complete, isOver]);
    timer?.cancel();
    // First: given back before that, they would come here again at once. A stream takes nothing back.
    await channel.cancel(consumerTag);
    if (!isStream) for (const message of messages) channel.nack(message, false, true);
  }
}
