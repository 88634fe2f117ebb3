import { Connection } from 'rabbitmq-client';
import { ignore } from '../protocol.mjs';

export async function openPublisher({ url, queue, persistent }) {
  const publisher = open(url).createPublisher({ confirm: true });
  const envelope = { routingKey: queue, durable: persistent };
  return (payload, settle) => void publisher.send(envelope, payload).then(() => settle(), settle);
}

export async function openConsumer({ url, queue, prefetch, handle }) {
  const options = { queue, queueOptions: { durable: true }, qos: { prefetchCount: prefetch } };
  const consumer = open(url).createConsumer(options, async (message) => {
    handle(message.body);
  });
  consumer.on('error', ignore);
}

export async function openCaller({ url, queue }) {
  const rpc = open(url).createRPCClient({ confirm: true });
  return (payload, settle) => void rpc.send(queue, payload).then((reply) => settle(undefined, reply.body), settle);
}

export async function openResponder({ url, queue, prefetch, answer }) {
  const options = { queue, queueOptions: { durable: true }, qos: { prefetchCount: prefetch } };
  const server = open(url).createConsumer(options, async (request, reply) => reply(answer(request.body)));
  server.on('error', ignore);
}

function open(url) {
  const connection = new Connection(url);
  connection.on('error', ignore);
  return connection;
}
