/**
 * What `context.getChannelRef()` gives: the settling methods of an amqplib channel, tied to the deliveries of one server.
 *
 * Danger: a bare channel is gone after a reconnect, while handlers go on with it; an ack on the next one would settle another
 * message. So each call goes through the `Delivery` of the message it names, where a late one is a counted no-op.
 */
import type { Message } from 'amqplib';
import type { Delivery } from '../../../engine/consuming/delivery/delivery.js';
import { OptionsError } from '../../../engine/errors/options-error.js';

const SWEEP_FROM = 1_024;

/**
 * What `context.getChannelRef()` returns: `ack`, `nack` and `reject` as a channel of amqplib has them, for messages of this server.
 */
export class TransportChannel {
  readonly #byMessage = new WeakMap<object, Delivery>();
  /** For `allUpTo`, with their bodies; what was settled behind our back is swept out now and then. */
  readonly #inHand = new Set<Delivery>();
  #sweepAt = SWEEP_FROM;

  /** @internal The message that a handler will name, and what it stands for. */
  add(message: Message, delivery: Delivery): void {
    this.#byMessage.set(message, delivery);
    if (delivery.isSettled) return;
    this.#inHand.add(delivery);
    if (this.#inHand.size < this.#sweepAt) return;
    for (const old of this.#inHand) if (old.isSettled || !old.isLive) this.#inHand.delete(old);
    this.#sweepAt = Math.max(SWEEP_FROM, 2 * this.#inHand.size);
  }

  /** @internal It is not for a handler to settle any more. */
  forget(delivery: Delivery): void {
    this.#inHand.delete(delivery);
  }

  /** The broker may forget the message; with `allUpTo` also those that came before it. */
  ack(message: Message, allUpTo = false): void {
    this.#settle(message, allUpTo, (delivery) => delivery.ack());
  }

  /** Back to the queue; with `requeue: false` to its dead-letter exchange, or dropped where it has none. */
  nack(message: Message, allUpTo = false, requeue = true): void {
    this.#settle(message, allUpTo, (delivery) => (requeue ? delivery.requeue() : delivery.reject()));
  }

  /** As {@link nack}, of one message. */
  reject(message: Message, requeue = true): void {
    this.nack(message, false, requeue);
  }

  /** Everything that this server has in hand. */
  ackAll(): void {
    for (const delivery of this.#inHand) delivery.ack();
    this.#inHand.clear();
  }

  /** As {@link ackAll}, given back. */
  nackAll(requeue = true): void {
    for (const delivery of this.#inHand) {
      if (requeue) delivery.requeue();
      else delivery.reject();
    }
    this.#inHand.clear();
  }

  #settle(message: Message, allUpTo: boolean, settle: (delivery: Delivery) => unknown): void {
    const named = this.#byMessage.get(message);
    if (named === undefined)
      throw new OptionsError(
        'getChannelRef()',
        'this is no message that the handler was given',
        'Settle context.getMessage() itself, not a copy of it',
      );
    if (allUpTo) for (const older of this.#upTo(named)) settle(older);
    settle(named);
    this.#inHand.delete(named);
  }

  /** Tags count anew for every consumer of the subscription. */
  #upTo({ consumerTag, deliveryTag }: Delivery): Delivery[] {
    return [...this.#inHand].filter((held) => held.consumerTag === consumerTag && held.deliveryTag < deliveryTag);
  }
}

/** What else a channel of amqplib can do has a place of its own here, and says so. */
const ELSEWHERE = {
  publish: 'Inject RmqPublisher: publish(exchange, routingKey, payload) resolves on the confirm',
  sendToQueue: 'Inject RmqPublisher: sendToQueue(queue, payload) resolves on the confirm',
  consume: 'Use @Subscribe, or connection.subscribe()',
  cancel: 'Use connection.subscription(name).unsubscribe()',
  prefetch: 'Use prefetchCount in the options of the server',
  assertQueue: 'Use queueOptions of the server, or topology of the connection',
  checkQueue: 'Use queueOptions of the server, or topology of the connection',
  bindQueue: 'Use topology of the connection',
  assertExchange: 'Use topology of the connection',
  checkExchange: 'Use topology of the connection',
  bindExchange: 'Use topology of the connection',
  get: 'Use @Subscribe, or connection.subscribe()',
  close: 'The channel is managed: close the server, or the application',
} as const;

for (const [method, wayOut] of Object.entries(ELSEWHERE)) {
  Object.defineProperty(TransportChannel.prototype, method, {
    value: () => {
      throw new OptionsError(`getChannelRef().${method}`, 'the channel is managed, and settles messages only', wayOut);
    },
  });
}
