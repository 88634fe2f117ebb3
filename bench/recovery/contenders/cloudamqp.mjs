import { AMQPSession } from '@cloudamqp/amqp-client';

export async function consume(url, queues, received) {
  const session = await AMQPSession.connect(url);
  for (const name of queues) {
    const queue = await session.queue(name, { durable: true });
    await queue.subscribe((message) => received(name, JSON.parse(message.bodyString()).data));
  }
}
