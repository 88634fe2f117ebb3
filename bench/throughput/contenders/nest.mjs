import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, Ctx, EventPattern, Payload, Transport } from '@nestjs/microservices';
import { EVENT_PATTERN } from '../protocol.mjs';

export async function openPublisher({ url, queue, persistent }) {
  const options = { urls: [url], queue, queueOptions: { durable: true }, persistent };
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
  await client.connect();
  return ({ pattern, data }, settle) =>
    client.emit(pattern, data).subscribe({ complete: () => settle(), error: settle });
}

export async function openConsumer({ url, queue, prefetch, handle }) {
  class BenchController {
    onEvent(data, context) {
      handle(data);
      context.getChannelRef().ack(context.getMessage());
    }
  }
  const method = Object.getOwnPropertyDescriptor(BenchController.prototype, 'onEvent');
  Payload()(BenchController.prototype, 'onEvent', 0);
  Ctx()(BenchController.prototype, 'onEvent', 1);
  EventPattern(EVENT_PATTERN)(BenchController.prototype, 'onEvent', method);
  Controller()(BenchController);
  class BenchModule {}
  Module({ controllers: [BenchController] })(BenchModule);

  const options = { urls: [url], queue, queueOptions: { durable: true }, noAck: false, prefetchCount: prefetch };
  const app = await NestFactory.createMicroservice(BenchModule, { transport: Transport.RMQ, options, logger: false });
  await app.listen();
}
