import type { ConsumeMessage } from 'amqplib';
import { RmqContext } from '@nestjs/microservices';
import type { Delivery } from '../../../engine/consuming/delivery/delivery.js';
import type { TransportChannel } from './transport-channel.js';

/**
 * What `@Ctx()` gives in a handler of {@link RmqServer}: Nest's `RmqContext`, and the delivery.
 *
 * `getMessage()` is the message as amqplib shapes it; `getChannelRef()` is no bare channel: `ack`, `nack` and `reject` settle
 * through the delivery, so that they are safe after a reconnect. `getPattern()` is the pattern as text.
 */
export class RmqServerContext extends RmqContext {
  readonly #delivery: Delivery;

  constructor(args: [ConsumeMessage, TransportChannel, string], delivery: Delivery) {
    super(args);
    this.#delivery = delivery;
  }

  /** With `headers`, `attempt`, `signal` (aborts when the work is for nothing), `ack()` ... */
  getDelivery(): Delivery {
    return this.#delivery;
  }
}

/** The message as amqplib gave it to us. */
export function messageOf(delivery: Delivery): ConsumeMessage {
  const { body, properties, deliveryTag, consumerTag, exchange, routingKey, redelivered } = delivery;
  return {
    content: body,
    properties,
    fields: { deliveryTag, consumerTag, exchange, routingKey, redelivered },
  };
}
