/**
 * The shop without an outbox: it publishes from inside the transaction. With `NAIVE=waits` it waits for the confirm there,
 * with `NAIVE=forgets` it does not.
 */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RmqKeepaliveModule, RmqPublisher } from 'nestjs-rmq-keepalive';
import type { PoolClient } from 'pg';
import { DatabaseModule } from '../../../examples/transactional-outbox/database.js';
import { Outbox, type OutboxMessage } from '../../../examples/transactional-outbox/outbox/outbox.js';
import { OrdersController } from '../../../examples/transactional-outbox/shop/orders.controller.js';
import { OrdersService } from '../../../examples/transactional-outbox/shop/orders.service.js';

@Injectable()
class NoOutbox extends Outbox {
  constructor(private readonly publisher: RmqPublisher) {
    super();
  }

  override async write(_transaction: PoolClient, { exchange, routingKey, payload }: OutboxMessage): Promise<string> {
    const published = this.publisher.publish(exchange, routingKey, payload);
    if (process.env['NAIVE'] === 'waits') await published;
    else published.catch(() => undefined);
    return '';
  }
}

@Module({
  imports: [
    DatabaseModule,
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({
        urls: process.env['RMQ_URLS'] as string,
        topology: { exchanges: [{ name: 'shop', type: 'topic' }] },
      }),
    }),
  ],
  controllers: [OrdersController],
  providers: [OrdersService, { provide: Outbox, useClass: NoOutbox }],
})
class NaiveShopModule {}

const app = await NestFactory.create(NaiveShopModule, { logger: ['error'] });
await app.listen(0, '127.0.0.1');
console.log(`The shop is open: ${await app.getUrl()}`);
