/** A channel of a client: its consumers, what they have not acked yet, its confirms. */
import type { AmqpFields } from '../wire/amqp-codec.js';
import type { AmqpMethod } from '../wire/amqp-frames.js';
import type { BrokerMessage } from './broker-message.js';
import { ChannelConsumer, type ConsumerWish } from './channel-consumer.js';
import type { MemoryQueue, Outcome, QueueEntry } from './memory-queue.js';
import type { MemoryVhost } from './memory-vhost.js';
import type { ReplyQueues } from './reply-queues.js';
import { Refusal } from './refusal.js';

export interface ChannelHost {
  readonly vhost: MemoryVhost;
  readonly replies: ReplyQueues;
  /** The connection, as the owner of exclusive queues. */
  readonly owner: object;
  readonly user: string;
  send(method: AmqpMethod, fields?: AmqpFields): void;
  sendMessage(method: AmqpMethod, fields: AmqpFields, message: BrokerMessage, extraHeaders?: AmqpFields): void;
  /** Whether the client wants to hear that a consumer is over. */
  readonly hearsCancels: boolean;
  /** @returns whether the link still lives: a confirm may be lost with it */
  confirming(): boolean;
}

interface Unacked {
  readonly queue: MemoryQueue;
  readonly entry: QueueEntry;
  readonly consumer: ChannelConsumer | undefined;
}

export class MemoryChannel {
  readonly #consumers = new Map<string, ChannelConsumer>();
  readonly #unacked = new Map<number, Unacked>();
  #deliveryTag = 0;
  #published: number | undefined;
  /** For the consumers to come, and for all of the channel together. */
  #prefetch = 0;
  #channelPrefetch = 0;
  #replyAddress: string | undefined;

  constructor(readonly host: ChannelHost) {}

  get unackedCount(): number {
    return this.#unacked.size;
  }

  get prefetch(): number {
    return this.#prefetch;
  }

  limitPrefetch(count: number, scope: 'consumer' | 'channel'): void {
    if (scope === 'consumer') this.#prefetch = count;
    else this.#channelPrefetch = count;
    this.#roomMade();
  }

  wantConfirms(): void {
    this.#published ??= 0;
  }

  // Publishing

  /** @throws Refusal */
  publish(published: BrokerMessage, { isMandatory }: { isMandatory: boolean }): void {
    const message = this.#withReplyAddress(published);
    const { vhost, replies } = this.host;
    const tag = this.#published === undefined ? undefined : ++this.#published;
    const outcome = replies.take(message) ?? vhost.publish(message);
    if (!outcome.isRouted && isMandatory) {
      const { exchange, routingKey } = message;
      this.host.sendMessage('basic.return', { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey }, message);
    }
    if (tag === undefined || !this.host.confirming()) return;
    this.host.send(outcome.isTaken ? 'basic.ack' : 'basic.nack', { deliveryTag: tag });
  }

  #withReplyAddress(message: BrokerMessage): BrokerMessage {
    if (!this.host.replies.isPseudoQueue(message.properties.replyTo)) return message;
    if (this.#replyAddress === undefined) throw Refusal.ofChannel(406, 'fast reply consumer does not exist');
    return message.withReplyTo(this.#replyAddress);
  }

  // Consuming

  /** @returns what begins the deliveries, for after the answer; @throws Refusal */
  consume(queue: MemoryQueue, wish: ConsumerWish): () => void {
    const { name } = queue;
    if (this.#consumers.has(wish.tag)) throw Refusal.ofConnection(530, `attempt to reuse consumer tag '${wish.tag}'`);
    const isInUse = queue.consumers.hasExclusive || (wish.isExclusive && queue.consumers.count > 0);
    if (isInUse && queue.settings.type === 'classic')
      throw Refusal.ofChannel(403, `queue '${name}' in vhost '${this.host.vhost.name}' in exclusive use`);
    const consumer = new ChannelConsumer(queue, wish, {
      hasRoom: () => this.#channelPrefetch === 0 || this.#unacked.size < this.#channelPrefetch,
      deliver: (to, entry) => this.#deliver(to, entry),
      cancelled: (over) => this.#cancelled(over),
    });
    this.#consumers.set(wish.tag, consumer);
    return () => queue.consume(consumer);
  }

  /** Of the broker's own reply queue. */
  consumeReplies(tag: string): void {
    this.#replyAddress = this.host.replies.open((message) => {
      const { exchange, routingKey } = message;
      this.host.sendMessage(
        'basic.deliver',
        { consumerTag: tag, deliveryTag: ++this.#deliveryTag, exchange, routingKey },
        message,
      );
    });
  }

  cancel(tag: string): void {
    const consumer = this.#consumers.get(tag);
    if (consumer === undefined) return;
    this.#consumers.delete(tag);
    consumer.queue.cancel(consumer);
  }

  /** As the broker does it by itself: what was delivered may still be settled. */
  cancelAll(): void {
    for (const consumer of this.#consumers.values()) {
      consumer.queue.cancel(consumer);
      this.#cancelled(consumer);
    }
  }

  /** For basic.get. */
  get(
    queue: MemoryQueue,
    wantsAcks: boolean,
  ): { readonly entry: QueueEntry; readonly deliveryTag: number } | undefined {
    const entry = queue.take(wantsAcks);
    return entry && { entry, deliveryTag: this.#tagFor({ queue, entry, consumer: undefined }, wantsAcks) };
  }

  /** @throws Refusal for a tag that is not known */
  settle(deliveryTag: number, scope: 'one' | 'all-before', outcome: Outcome): void {
    const isAll = scope === 'all-before';
    const tags = isAll
      ? [...this.#unacked.keys()].filter((tag) => deliveryTag === 0 || tag <= deliveryTag)
      : this.#unacked.has(deliveryTag)
        ? [deliveryTag]
        : [];
    if (tags.length === 0 && !(isAll && deliveryTag === 0))
      throw Refusal.ofChannel(406, `unknown delivery tag ${deliveryTag}`);
    this.#settleAll(tags, outcome);
  }

  /** All that was not settled goes back, and the consumers are gone. */
  end(): void {
    if (this.#replyAddress !== undefined) this.host.replies.close(this.#replyAddress);
    for (const tag of [...this.#consumers.keys()]) this.cancel(tag);
    this.requeueAll();
  }

  requeueAll(): void {
    this.#settleAll([...this.#unacked.keys()], 'requeue');
  }

  #settleAll(tags: readonly number[], outcome: Outcome): void {
    const byQueue = new Map<MemoryQueue, QueueEntry[]>();
    for (const tag of tags) {
      const { queue, entry, consumer } = this.#unacked.get(tag) as Unacked;
      this.#unacked.delete(tag);
      consumer?.settled();
      byQueue.set(queue, [...(byQueue.get(queue) ?? []), entry]);
    }
    for (const [queue, entries] of byQueue) queue.settle(entries, outcome);
    this.#roomMade();
  }

  #roomMade(): void {
    if (this.#channelPrefetch > 0) for (const { queue } of this.#consumers.values()) queue.roomMade();
  }

  #deliver(consumer: ChannelConsumer, entry: QueueEntry): void {
    const { queue, tag: consumerTag, wantsAcks } = consumer;
    const deliveryTag = this.#tagFor({ queue, entry, consumer }, wantsAcks);
    const { exchange, routingKey } = entry.message;
    const { redelivered, headers } = markDelivered(queue, entry);
    this.host.sendMessage(
      'basic.deliver',
      { consumerTag, deliveryTag, redelivered, exchange, routingKey },
      entry.message,
      headers,
    );
  }

  #tagFor(unacked: Unacked, wantsAcks: boolean): number {
    const tag = ++this.#deliveryTag;
    if (wantsAcks) this.#unacked.set(tag, unacked);
    return tag;
  }

  #cancelled({ tag }: ChannelConsumer): void {
    if (!this.#consumers.delete(tag)) return;
    if (this.host.hearsCancels) this.host.send('basic.cancel', { consumerTag: tag, nowait: true });
  }
}

/** What a delivery says of those before it; a quorum queue counts them. */
export function markDelivered(queue: MemoryQueue, entry: QueueEntry): { redelivered: boolean; headers: AmqpFields } {
  const redelivered = entry.wasDelivered;
  entry.wasDelivered = true;
  const isCounted = queue.settings.type === 'quorum' && entry.returns > 0;
  return { redelivered, headers: isCounted ? { 'x-delivery-count': entry.returns } : {} };
}
