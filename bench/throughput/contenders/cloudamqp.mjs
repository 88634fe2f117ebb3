import { AMQPSession, builtinParsers } from '@cloudamqp/amqp-client';

const JSON_BODIES = { parsers: builtinParsers, defaultContentType: 'application/json' };

export async function openPublisher({ url, queue: name, persistent }) {
  const session = await AMQPSession.connect(url, JSON_BODIES);
  const queue = await session.queue(name, { durable: true });
  const options = { deliveryMode: persistent ? 2 : 1 };
  return (payload, settle) => void queue.publish(payload, options).then(() => settle(), settle);
}

export async function openConsumer({ url, queue: name, prefetch, handle }) {
  const session = await AMQPSession.connect(url, JSON_BODIES);
  const queue = await session.queue(name, { durable: true });
  await queue.subscribe({ prefetch }, (message) => handle(message.body));
}
