import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, Ctx, EventPattern, MessagePattern, Payload, Transport } from '@nestjs/microservices';
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
  await listen(BenchController, { urls: [url], queue, prefetchCount: prefetch });
}

export async function openCaller({ url, queue }) {
  const options = { urls: [url], queue, queueOptions: { durable: true } };
  const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
  await client.connect();
  return ({ pattern, data }, settle) =>
    client.send(pattern, data).subscribe({ next: (answer) => settle(undefined, answer), error: settle });
}

export async function openResponder({ url, queue, prefetch, answer }) {
  class BenchController {
    onRequest(data, context) {
      context.getChannelRef().ack(context.getMessage());
      return answer(data);
    }
  }
  const method = Object.getOwnPropertyDescriptor(BenchController.prototype, 'onRequest');
  Payload()(BenchController.prototype, 'onRequest', 0);
  Ctx()(BenchController.prototype, 'onRequest', 1);
  MessagePattern(EVENT_PATTERN)(BenchController.prototype, 'onRequest', method);
  await listen(BenchController, { urls: [url], queue, prefetchCount: prefetch });
}

async function listen(controller, given) {
  Controller()(controller);
  class BenchModule {}
  Module({ controllers: [controller] })(BenchModule);
  const options = { ...given, queueOptions: { durable: true }, noAck: false };
  const app = await NestFactory.createMicroservice(BenchModule, { transport: Transport.RMQ, options, logger: false });
  await app.listen();
}
