/** What a client may ask on a channel, and the answer. */
import { randomBytes } from 'node:crypto';
import type { AmqpFields } from '../wire/amqp-codec.js';
import type { AmqpMethod } from '../wire/amqp-frames.js';
import { markDelivered, type MemoryChannel } from './memory-channel.js';
import type { MemoryQueue, Outcome } from './memory-queue.js';
import type { BindingOrder } from './memory-vhost.js';
import { noQueue, Refusal } from './refusal.js';

interface Answer {
  readonly method: AmqpMethod;
  readonly fields?: AmqpFields;
  /** What happens once the answer is out. */
  readonly afterwards?: () => void;
}

type Request = (channel: MemoryChannel, fields: AmqpFields) => Answer | undefined;

/** @returns whether it is known; @throws Refusal */
export function answerRequest(channel: MemoryChannel, method: AmqpMethod, fields: AmqpFields): boolean {
  const request = REQUESTS[method];
  if (request === undefined) return false;
  const answer = request(channel, fields);
  if (answer !== undefined && fields['nowait'] !== true) channel.host.send(answer.method, answer.fields);
  answer?.afterwards?.();
  return true;
}

const REQUESTS: Partial<Record<AmqpMethod, Request>> = {
  'channel.flow': (_, { active }) => ({ method: 'channel.flow-ok', fields: { active } }),
  'exchange.declare': declareExchange,
  'exchange.delete': ({ host }, { exchange, ifUnused }) => {
    host.vhost.deleteExchange(text(exchange), ifUnused === true ? 'unused' : 'always');
    return { method: 'exchange.delete-ok' };
  },
  'exchange.bind': ({ host }, fields) => {
    host.vhost.bind(bindingOfExchange(fields));
    return { method: 'exchange.bind-ok' };
  },
  'exchange.unbind': ({ host }, fields) => {
    host.vhost.unbind(bindingOfExchange(fields));
    return { method: 'exchange.unbind-ok' };
  },
  'queue.declare': declareQueue,
  'queue.bind': (channel, fields) => {
    channel.host.vhost.bind(bindingOfQueue(channel, fields));
    return { method: 'queue.bind-ok' };
  },
  'queue.unbind': (channel, fields) => {
    channel.host.vhost.unbind(bindingOfQueue(channel, fields));
    return { method: 'queue.unbind-ok' };
  },
  'queue.purge': (channel, { queue }) => ({
    method: 'queue.purge-ok',
    fields: { messageCount: queueOf(channel, queue).purge() },
  }),
  'queue.delete': deleteQueue,
  'basic.qos': (channel, { prefetchCount, global }) => {
    channel.limitPrefetch(Number(prefetchCount), global === true ? 'channel' : 'consumer');
    return { method: 'basic.qos-ok' };
  },
  'basic.consume': consume,
  'basic.cancel': (channel, { consumerTag }) => {
    channel.cancel(text(consumerTag));
    return { method: 'basic.cancel-ok', fields: { consumerTag } };
  },
  'basic.get': get,
  'basic.ack': (channel, fields) => settle(channel, fields, 'ack'),
  'basic.nack': (channel, fields) => settle(channel, fields, fields['requeue'] === true ? 'requeue' : 'reject'),
  'basic.reject': (channel, fields) => settle(channel, fields, fields['requeue'] === true ? 'requeue' : 'reject'),
  'basic.recover': (channel) => {
    channel.requeueAll();
    return { method: 'basic.recover-ok' };
  },
  'confirm.select': (channel) => {
    channel.wantConfirms();
    return { method: 'confirm.select-ok' };
  },
};

function declareExchange({ host }: MemoryChannel, fields: AmqpFields): Answer {
  const name = text(fields['exchange']);
  if (fields['passive'] === true) host.vhost.exchange(name);
  else
    host.vhost.declareExchange({
      name,
      type: text(fields['type']),
      durable: fields['durable'] === true,
      autoDelete: fields['autoDelete'] === true,
      internal: fields['internal'] === true,
      arguments: fields['arguments'] as AmqpFields,
    });
  return { method: 'exchange.declare-ok' };
}

function declareQueue({ host }: MemoryChannel, fields: AmqpFields): Answer {
  const { vhost, owner, replies } = host;
  const wanted = text(fields['queue']);
  if (replies.has(wanted)) return declared(wanted, { readyCount: 0, consumerCount: 1 });
  const queue =
    fields['passive'] === true
      ? vhost.queueFor(owner, wanted)
      : vhost.declareQueue(
          {
            name: wanted,
            durable: fields['durable'] === true,
            exclusive: fields['exclusive'] === true,
            autoDelete: fields['autoDelete'] === true,
            arguments: fields['arguments'] as AmqpFields,
          },
          owner,
        );
  return declared(queue.name, { readyCount: queue.readyCount, consumerCount: queue.consumers.count });
}

function declared(queue: string, counts: { readyCount: number; consumerCount: number }): Answer {
  const { readyCount: messageCount, consumerCount } = counts;
  return { method: 'queue.declare-ok', fields: { queue, messageCount, consumerCount } };
}

function deleteQueue(channel: MemoryChannel, { queue: name, ifUnused, ifEmpty }: AmqpFields): Answer {
  const { vhost } = channel.host;
  const method = 'queue.delete-ok';
  if (vhost.queue(text(name)) === undefined) return { method };
  const queue = queueOf(channel, name);
  const place = `queue '${queue.name}' in vhost '${vhost.name}'`;
  if (ifUnused === true && queue.consumers.count > 0) throw Refusal.ofChannel(406, `${place} in use`);
  if (ifEmpty === true && queue.readyCount > 0) throw Refusal.ofChannel(406, `${place} not empty`);
  return { method, fields: { messageCount: vhost.deleteQueue(queue) } };
}

function consume(channel: MemoryChannel, fields: AmqpFields): Answer {
  const { replies, vhost } = channel.host;
  const tag = text(fields['consumerTag']) || `amq.ctag-${randomBytes(16).toString('base64url')}`;
  const wantsAcks = fields['noAck'] !== true;
  const args = fields['arguments'] as AmqpFields;
  if (replies.isPseudoQueue(text(fields['queue']))) {
    if (wantsAcks) throw Refusal.ofChannel(406, 'reply consumer cannot acknowledge');
    channel.consumeReplies(tag);
    return { method: 'basic.consume-ok', fields: { consumerTag: tag } };
  }
  const queue = queueOf(channel, fields['queue']);
  if (Object.hasOwn(args, 'x-stream-offset'))
    throw Refusal.ofChannel(
      406,
      `invalid arg 'x-stream-offset' for queue '${queue.name}' in vhost '${vhost.name}' of queue type rabbit_${queue.settings.type}_queue`,
    );
  const priority = typeof args['x-priority'] === 'number' ? args['x-priority'] : 0;
  const { prefetch } = channel;
  const isExclusive = fields['exclusive'] === true;
  const afterwards = channel.consume(queue, { tag, wantsAcks, isExclusive, priority, prefetch });
  return { method: 'basic.consume-ok', fields: { consumerTag: tag }, afterwards };
}

function get(channel: MemoryChannel, fields: AmqpFields): undefined {
  const queue = queueOf(channel, fields['queue']);
  const taken = channel.get(queue, fields['noAck'] !== true);
  if (taken === undefined) {
    channel.host.send('basic.get-empty');
    return;
  }
  const { entry, deliveryTag } = taken;
  const { exchange, routingKey } = entry.message;
  const { redelivered, headers } = markDelivered(queue, entry);
  const { readyCount: messageCount } = queue;
  const address = { deliveryTag, redelivered, exchange, routingKey, messageCount };
  channel.host.sendMessage('basic.get-ok', address, entry.message, headers);
}

function settle(channel: MemoryChannel, { deliveryTag, multiple }: AmqpFields, outcome: Outcome): undefined {
  channel.settle(Number(deliveryTag), multiple === true ? 'all-before' : 'one', outcome);
}

/** @throws Refusal */
function queueOf({ host }: MemoryChannel, name: unknown): MemoryQueue {
  if (text(name) === '') throw noQueue('', host.vhost.name);
  return host.vhost.queueFor(host.owner, text(name));
}

function bindingOfQueue(channel: MemoryChannel, fields: AmqpFields): BindingOrder {
  const name = text(fields['queue']);
  if (channel.host.vhost.queue(name) !== undefined) queueOf(channel, name);
  return { exchange: text(fields['exchange']), to: { kind: 'queue', name }, ...ruleOf(fields) };
}

function bindingOfExchange(fields: AmqpFields): BindingOrder {
  const to = { kind: 'exchange', name: text(fields['destination']) } as const;
  return { exchange: text(fields['source']), to, ...ruleOf(fields) };
}

function ruleOf(fields: AmqpFields): Pick<BindingOrder, 'routingKey' | 'arguments'> {
  return { routingKey: text(fields['routingKey']), arguments: fields['arguments'] as AmqpFields };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
