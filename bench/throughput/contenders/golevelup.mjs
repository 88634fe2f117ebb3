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

export async function openCaller({ url, queue }) {
  const connection = await open({ uri: url });
  const target = { exchange: '', routingKey: queue };
  return (payload, settle) =>
    void connection.request({ ...target, payload }).then((answer) => settle(undefined, answer), settle);
}

export async function openResponder({ url, queue, prefetch, answer }) {
  const connection = await open({ uri: url, prefetchCount: prefetch });
  const options = { queue, routingKey: queue, queueOptions: { durable: true } };
  await connection.createRpc(async (payload) => answer(payload), options);
}

async function open(config) {
  const app = await NestFactory.createApplicationContext(RabbitMQModule.forRoot(config), { logger: false });
  return app.get(AmqpConnection);
}
