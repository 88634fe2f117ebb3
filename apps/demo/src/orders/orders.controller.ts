import { randomUUID } from 'node:crypto';
import {
  Body,
  Controller,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  Post,
  ServiceUnavailableException,
} from '@nestjs/common';
import { RmqError, RmqPublisher } from 'nestjs-rmq-keepalive';
import { NewOrderPipe } from './new-order.pipe.js';
import type { NewOrder, OrderMessage, OrderStats, OrderView } from './order.js';
import { OrdersStore } from './orders.store.js';

@Controller('orders')
export class OrdersController {
  constructor(
    private readonly publisher: RmqPublisher,
    private readonly store: OrdersStore,
  ) {}

  /** 202 means that the broker has the order: whatever happens now, it will be shipped. */
  @Post()
  @HttpCode(202)
  async order(@Body(NewOrderPipe) order: NewOrder): Promise<{ id: string }> {
    const message: OrderMessage = { id: randomUUID(), ...order };
    try {
      await this.publisher.publish('shop', 'order.created', message, { messageId: `${message.id}:created` });
    } catch (error) {
      throw asUnavailable(error);
    }
    this.store.accept(message.id);
    return { id: message.id };
  }

  @Get('stats')
  stats(): OrderStats {
    return this.store.stats;
  }

  @Get(':id')
  find(@Param('id') id: string): OrderView {
    const order = this.store.find(id);
    if (order === undefined) throw new NotFoundException('There is no such order');
    return order;
  }
}

/** No confirm, no promise: the client may try again. */
function asUnavailable(error: unknown): unknown {
  if (!(error instanceof RmqError)) return error;
  return new ServiceUnavailableException({ statusCode: 503, error: error.code, message: 'The order was not taken' });
}
