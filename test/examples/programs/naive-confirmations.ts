/** The mailing service without deduplication. */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { RmqKeepaliveModule, Subscribe } from 'nestjs-rmq-keepalive';
import { Mailer } from '../../../examples/shared-deduplication/mailer.js';

@Injectable()
class NaiveConsumer {
  constructor(private readonly mailer: Mailer) {}

  @Subscribe({ name: 'confirmations', queue: 'confirmations' })
  async onOrderPlaced(@Payload() order: { id: string }): Promise<void> {
    await this.mailer.confirm(order);
  }
}

@Module({
  imports: [RmqKeepaliveModule.forRootAsync({ useFactory: () => ({ urls: process.env['RMQ_URLS'] as string }) })],
  providers: [Mailer, NaiveConsumer],
})
class NaiveModule {}

const app = await NestFactory.createApplicationContext(NaiveModule, { logger: ['error'] });
app.enableShutdownHooks();
console.log('Confirmations are mailed.');
