// The measure of all: bare amqplib as somebody writes it who knows it. No delay, confirms by callback, nothing else.
import { connect } from 'amqplib';
import { ignore } from '../protocol.mjs';

export async function openPublisher({ url, queue, persistent }) {
  const channel = await (await open(url)).createConfirmChannel();
  channel.on('error', ignore);
  const options = { persistent, contentType: 'application/json' };
  return (payload, settle) => channel.sendToQueue(queue, Buffer.from(JSON.stringify(payload)), options, settle);
}

export async function openConsumer({ url, queue, prefetch, handle }) {
  const channel = await (await open(url)).createChannel();
  channel.on('error', ignore);
  await channel.prefetch(prefetch);
  await channel.consume(queue, (message) => {
    handle(JSON.parse(message.content.toString()));
    channel.ack(message);
  });
}

async function open(url) {
  const connection = await connect(url, { noDelay: true });
  connection.on('error', ignore);
  return connection;
}
