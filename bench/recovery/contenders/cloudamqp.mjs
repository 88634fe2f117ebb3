import { AMQPSession } from '@cloudamqp/amqp-client';
import { decode } from '../protocol.mjs';

export default async function start({ url, queues, got }) {
  const session = await AMQPSession.connect(url);
  for (const name of queues) {
    const queue = await session.queue(name, { durable: true });
    await queue.subscribe((message) => got(decode(message.body)));
  }
}
