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

export async function openCaller({ url, queue }) {
  const session = await AMQPSession.connect(url, JSON_BODIES);
  const rpc = await session.rpcClient();
  return (payload, settle) => void rpc.call(queue, payload).then((reply) => settle(undefined, reply.body), settle);
}

export async function openResponder({ url, queue, prefetch, answer }) {
  const session = await AMQPSession.connect(url, JSON_BODIES);
  await session.rpcServer(queue, (message) => answer(message.body), prefetch);
}
