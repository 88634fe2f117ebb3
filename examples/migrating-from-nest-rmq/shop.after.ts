import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientsModule } from '@nestjs/microservices';
import { RmqClient } from 'nestjs-rmq-keepalive/microservices';
import { ordersOptions } from './orders.options.js';
import { visit } from './shop.js';

@Module({
  imports: [ClientsModule.register([{ name: 'ORDERS', customClass: RmqClient, options: ordersOptions }])],
})
class ShopModule {}

const app = await NestFactory.createApplicationContext(ShopModule, { logger: ['warn', 'error'] });
await visit(app.get<ClientProxy>('ORDERS'));
await app.close();
