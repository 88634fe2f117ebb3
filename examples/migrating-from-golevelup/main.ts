import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { RmqConnection } from 'nestjs-rmq-keepalive';
import { OrdersModule } from './orders.module.js';
import { PriceTag } from './prices.js';

const app = await NestFactory.createApplicationContext(OrdersModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
await app.get(RmqConnection).whenOpen();
console.log('Orders are taken.');
console.log('tea costs', await app.get(PriceTag).ask('tea'));
await app
  .get(PriceTag)
  .ask('moon')
  .catch((error: Error) => console.log(error.message));
