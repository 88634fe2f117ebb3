// Nest's transport consumes one queue for each connected microservice, over a connection of its own.
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, Payload, Transport } from '@nestjs/microservices';
import { EVENT_PATTERN } from '../protocol.mjs';

export default async function start({ url, queues, got }) {
  class FreshController {
    handle(data) {
      got(data);
    }
  }
  const method = Object.getOwnPropertyDescriptor(FreshController.prototype, 'handle');
  Payload()(FreshController.prototype, 'handle', 0);
  EventPattern(EVENT_PATTERN)(FreshController.prototype, 'handle', method);
  Controller()(FreshController);
  class FreshModule {}
  Module({ controllers: [FreshController] })(FreshModule);

  for (const queue of queues) {
    const options = { urls: [url], queue, queueOptions: { durable: true } };
    const app = await NestFactory.createMicroservice(FreshModule, { transport: Transport.RMQ, options, logger: false });
    await app.listen();
  }
}
