// What its module makes of `@RabbitSubscribe`: one subscriber for each handler, all on the default channel.
import 'reflect-metadata';
import { AmqpConnection } from '@golevelup/nestjs-rabbitmq';

export async function consume(url, queues, received) {
  const connection = new AmqpConnection({ uri: url });
  await connection.init();
  for (const queue of queues) {
    const handler = ({ data }) => Promise.resolve(received(queue, data));
    await connection.createSubscriber(handler, { queue, queueOptions: { durable: true } }, queue);
  }
}
