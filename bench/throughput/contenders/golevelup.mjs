import 'reflect-metadata';
import { AmqpConnection, RabbitMQModule } from '@golevelup/nestjs-rabbitmq';
import { NestFactory } from '@nestjs/core';

export async function openPublisher({ url, queue, persistent }) {
  const connection = await open({ uri: url });
  return (payload, settle) => void connection.publish('', queue, payload, { persistent }).then(() => settle(), settle);
}

export async function openConsumer({ url, queue, prefetch, handle }) {
  const connection = await open({ uri: url, prefetchCount: prefetch });
  const options = { queue, queueOptions: { durable: true } };
  await connection.createSubscriber(async (payload) => handle(payload), options, queue);
}

async function open(config) {
  const app = await NestFactory.createApplicationContext(RabbitMQModule.forRoot(config), { logger: false });
  return app.get(AmqpConnection);
}
