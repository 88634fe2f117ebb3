import { once } from 'node:events';
import { Connection } from 'rabbitmq-client';
import { decode, ignore } from '../protocol.mjs';

export default async function start({ url, queues, got }) {
  const connection = new Connection(url);
  connection.on('error', ignore);
  const ready = queues.map((queue) => {
    const consumer = connection.createConsumer({ queue, queueOptions: { durable: true } }, async (message) => {
      got(decode(message.body));
    });
    consumer.on('error', ignore);
    return once(consumer, 'ready');
  });
  await Promise.all(ready);
}
