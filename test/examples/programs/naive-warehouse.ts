/** The warehouse without an inbox. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Delivery } from 'nestjs-rmq-keepalive';
import type { PoolClient } from 'pg';
import { Database } from '../../../examples/transactional-outbox/database.js';
import { Inbox } from '../../../examples/transactional-outbox/outbox/inbox.js';
import { WarehouseModule } from '../../../examples/transactional-outbox/warehouse/warehouse.module.js';

@Injectable()
class NoInbox extends Inbox {
  constructor(private readonly shipments: Database) {
    super(shipments);
  }

  override async once(_delivery: Delivery, effect: (transaction: PoolClient) => Promise<void>): Promise<'handled'> {
    await this.shipments.inTransaction(effect);
    return 'handled';
  }
}

@Module({})
class NaiveWarehouseModule {}

const providers = (Reflect.getMetadata('providers', WarehouseModule) as object[]).filter((it) => it !== Inbox);
const app = await NestFactory.createApplicationContext(
  {
    module: NaiveWarehouseModule,
    imports: Reflect.getMetadata('imports', WarehouseModule) as [],
    providers: [...providers, { provide: Inbox, useClass: NoInbox }] as unknown as [],
  },
  { logger: ['error'] },
);
app.enableShutdownHooks();
console.log('The warehouse ships.');
