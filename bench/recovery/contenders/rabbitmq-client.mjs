import { Connection } from 'rabbitmq-client';

export async function consume(url, queues, received) {
  const connection = new Connection(url);
  connection.on('error', () => undefined);
  await Promise.all(
    queues.map(async (queue) => {
      const handler = ({ body }) => received(queue, body.data);
      const consumer = connection.createConsumer({ queue, queueOptions: { durable: true } }, handler);
      consumer.on('error', () => undefined);
      await new Promise((resolve) => consumer.once('ready', resolve));
    }),
  );
}
