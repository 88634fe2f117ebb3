import { BadRequestException, Body, Controller, Post } from '@nestjs/common';
import { type NewOrder, type OrderPlaced, OrdersService } from './orders.service.js';

@Controller('orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  /** Answers after the commit. RabbitMQ need not be there: the message is as safe as the order. */
  @Post()
  async place(@Body() body: Partial<NewOrder> | undefined): Promise<OrderPlaced> {
    const { customer, price } = body ?? {};
    if (typeof customer !== 'string' || !Number.isInteger(price) || (price as number) < 1)
      throw new BadRequestException('An order is {"customer": string, "price": whole number}');
    return this.orders.place({ customer, price: price as number });
  }
}
