import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { ordersOptions } from './orders.options.js';
import { OrdersModule } from './orders.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(OrdersModule, {
  transport: Transport.RMQ,
  options: { ...ordersOptions, noAck: false, prefetchCount: 20 },
  logger: ['warn', 'error'],
});
app.enableShutdownHooks();
await app.listen();
console.log('Orders are served.');
