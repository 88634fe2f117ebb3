import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Delivery, Subscribe } from 'nestjs-rmq-keepalive';
import { Inbox } from '../outbox/inbox.js';

@Injectable()
export class ShipmentsConsumer {
  constructor(private readonly inbox: Inbox) {}

  // The name is part of what the inbox remembers: it must not change when the class or the method does.
  @Subscribe({ name: 'warehouse', queue: 'warehouse', exchange: 'shop', routingKey: 'order.placed' })
  async onOrderPlaced(@Payload() order: { id: string }, @Ctx() delivery: Delivery): Promise<void> {
    await this.inbox.once(delivery, async (transaction) => {
      await transaction.query('INSERT INTO shipments (order_id) VALUES ($1)', [order.id]);
    });
  }
}
