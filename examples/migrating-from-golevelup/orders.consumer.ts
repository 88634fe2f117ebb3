import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  type Delivery,
  DeliveryHeaders,
  RmqPublisher,
  Settlement,
  Subscribe,
  SubscribeBatch,
} from 'nestjs-rmq-keepalive';

interface Order {
  readonly id: string;
  readonly item: string;
}

@Injectable()
export class OrdersConsumer {
  // private readonly amqp: AmqpConnection
  constructor(private readonly publisher: RmqPublisher) {}

  // @RabbitSubscribe({ exchange: 'shop', routingKey: 'order.created', queue: 'orders', queueOptions: { durable: true } })
  @Subscribe({
    exchange: 'shop',
    routingKey: 'order.created',
    queue: 'orders',
    retry: { attempts: 3, firstDelayMs: 200 },
  })
  async onCreated(
    @Payload() order: Order, // @RabbitPayload()
    @DeliveryHeaders('x-tenant') tenant: string | undefined, // @RabbitHeader('x-tenant')
    @Ctx() delivery: Delivery, // @RabbitRequest(): { fields, properties, content }
  ): Promise<Settlement | void> {
    if (order.item === 'nothing') return Settlement.reject(); // new Nack()
    if (order.item === 'flaky' && delivery.attempt < 3) throw new Error('not yet'); // once more, instead of at once and for ever
    // await this.amqp.publish('shop', 'order.accepted', { id, tenant }): rejects when the link is lost meanwhile
    await this.publisher.publish('shop', 'order.accepted', { id: order.id, tenant });
    console.log(`accepted ${order.id} at attempt ${delivery.attempt}`);
  }

  // @RabbitSubscribe({ exchange: 'shop', routingKey: 'order.accepted', queue: 'accepted', batchOptions: { size: 10, timeout: 200 } })
  @SubscribeBatch({
    exchange: 'shop',
    routingKey: 'order.accepted',
    queue: 'accepted',
    batch: { size: 10, waitMs: 200 },
  })
  onAccepted(@Payload() orders: { id: string }[]): void {
    console.log(`shipping ${orders.map(({ id }) => id).join(', ')}`);
  }
}
