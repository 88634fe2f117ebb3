import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { RmqServer } from 'nestjs-rmq-keepalive/microservices';
import { ordersOptions } from './orders.options.js';
import { OrdersModule } from './orders.module.js';

const app = await NestFactory.createMicroservice<MicroserviceOptions>(OrdersModule, {
  strategy: new RmqServer({ ...ordersOptions, noAck: false, prefetchCount: 20 }),
  logger: ['warn', 'error'],
});
app.enableShutdownHooks();
await app.listen();
console.log('Orders are served.');
