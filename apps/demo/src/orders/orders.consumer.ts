import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import type { OrderMessage } from './order.js';
import { OrdersStore } from './orders.store.js';

/** Moves every order on. Deliveries may come twice, so each step is idempotent. */
@Injectable()
export class OrdersConsumer {
  constructor(
    private readonly publisher: RmqPublisher,
    private readonly store: OrdersStore,
  ) {}

  @Subscribe({ queue: 'orders.created', exchange: 'shop', routingKey: 'order.created' })
  async onCreated(@Payload() order: OrderMessage): Promise<void> {
    this.store.noteDelivery(order.id, 'onCreated');
    this.store.accept(order.id);
    if (this.store.isPassedOn(order.id)) return;
    // Acked only after this confirm, so that the order is never in nobody's hands.
    await this.publisher.publish('shop', 'order.accepted', order, { messageId: `${order.id}:accepted` });
    this.store.passOn(order.id);
  }

  @Subscribe({ queue: 'orders.accepted', exchange: 'shop', routingKey: 'order.accepted' })
  onAccepted(@Payload() order: OrderMessage): void {
    this.store.noteDelivery(order.id, 'onAccepted');
    this.store.ship(order.id);
  }
}
