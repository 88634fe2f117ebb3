import { Module } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { DatabaseModule } from '../database.js';
import { OutboxModule } from '../outbox/outbox.module.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';

@Module({
  imports: [
    DatabaseModule,
    OutboxModule,
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({
        urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
        topology: { exchanges: [{ name: 'shop', type: 'topic' }] },
      }),
    }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService],
})
export class ShopModule {}
