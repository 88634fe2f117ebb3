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

export async function openCaller({ url, queue }) {
  const channel = await (await open(url)).createChannel();
  channel.on('error', ignore);
  const waiting = new Map();
  let calls = 0;
  const replyTo = 'amq.rabbitmq.reply-to';
  const heard = ({ content, properties: { correlationId } }) => {
    const settle = waiting.get(correlationId);
    waiting.delete(correlationId);
    settle?.(undefined, JSON.parse(content.toString()));
  };
  await channel.consume(replyTo, heard, { noAck: true });
  return (payload, settle) => {
    const correlationId = String(++calls);
    waiting.set(correlationId, settle);
    const options = { correlationId, replyTo, contentType: 'application/json' };
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(payload)), options);
  };
}

export async function openResponder({ url, queue, prefetch, answer }) {
  const channel = await (await open(url)).createChannel();
  channel.on('error', ignore);
  await channel.prefetch(prefetch);
  await channel.consume(queue, (request) => {
    const { replyTo, correlationId } = request.properties;
    const reply = answer(JSON.parse(request.content.toString()));
    const options = { correlationId, contentType: 'application/json' };
    channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(reply)), options);
    channel.ack(request);
  });
}

async function open(url) {
  const connection = await connect(url, { noDelay: true });
  connection.on('error', ignore);
  return connection;
}
