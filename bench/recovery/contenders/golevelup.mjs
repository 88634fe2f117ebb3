import 'reflect-metadata';
import { AmqpConnection, RabbitMQModule } from '@golevelup/nestjs-rabbitmq';
import { NestFactory } from '@nestjs/core';

export default async function start({ url, queues, got }) {
  const app = await NestFactory.createApplicationContext(RabbitMQModule.forRoot({ uri: url }), { logger: false });
  const connection = app.get(AmqpConnection);
  for (const queue of queues) {
    const options = { queue, queueOptions: { durable: true } };
    await connection.createSubscriber(async (message) => got(message.data), options, queue);
  }
}
