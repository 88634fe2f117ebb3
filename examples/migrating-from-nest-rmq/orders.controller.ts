/** Not a line of this changes. */
import { Controller } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, Payload, RmqContext, RpcException } from '@nestjs/microservices';
import type { Channel, Message } from 'amqplib';
import { from, type Observable } from 'rxjs';

interface Order {
  readonly id: string;
  readonly items: readonly string[];
}

@Controller()
export class OrdersController {
  private readonly orders = new Map<string, Order>();

  @EventPattern({ event: 'order.created' })
  onCreated(@Payload() order: Order, @Ctx() context: RmqContext): void {
    this.orders.set(order.id, order);
    acknowledge(context);
  }

  @MessagePattern({ cmd: 'find' })
  find(@Payload() id: string, @Ctx() context: RmqContext): Order {
    acknowledge(context);
    const order = this.orders.get(id);
    if (order === undefined) throw new RpcException(`There is no order ${id}`);
    return order;
  }

  @MessagePattern({ cmd: 'items' })
  items(@Payload() id: string, @Ctx() context: RmqContext): Observable<string> {
    acknowledge(context);
    return from(this.orders.get(id)?.items ?? []);
  }
}

/** With `noAck: false` the handlers acknowledge. */
function acknowledge(context: RmqContext): void {
  (context.getChannelRef() as Channel).ack(context.getMessage() as Message);
}
