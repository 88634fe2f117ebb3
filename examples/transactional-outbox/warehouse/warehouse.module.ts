import { Module } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { DatabaseModule } from '../database.js';
import { Inbox } from '../outbox/inbox.js';
import { ShipmentsConsumer } from './shipments.consumer.js';

@Module({
  imports: [
    DatabaseModule,
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({ urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(',') }),
    }),
  ],
  providers: [Inbox, ShipmentsConsumer],
})
export class WarehouseModule {}
