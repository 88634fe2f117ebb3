/** The answer that each AMQP request usually gets, for the requests whose answer needs no memory. */
import type { AmqpFields } from './amqp-codec.js';
import type { AmqpMethod } from '#testing/wire/amqp-frames.js';

interface Answer {
  method: AmqpMethod;
  fields: AmqpFields;
}

const ANSWERS: Partial<Record<AmqpMethod, (request: AmqpFields) => Answer>> = {
  'connection.open': () => plain('connection.open-ok'),
  'connection.close': () => plain('connection.close-ok'),
  'connection.update-secret': () => plain('connection.update-secret-ok'),
  'channel.open': () => plain('channel.open-ok'),
  'channel.close': () => plain('channel.close-ok'),
  'channel.flow': ({ active }) => ({ method: 'channel.flow-ok', fields: { active } }),
  'exchange.declare': () => plain('exchange.declare-ok'),
  'exchange.delete': () => plain('exchange.delete-ok'),
  'exchange.bind': () => plain('exchange.bind-ok'),
  'exchange.unbind': () => plain('exchange.unbind-ok'),
  'queue.declare': ({ queue }) => ({
    method: 'queue.declare-ok',
    fields: { queue, messageCount: 0, consumerCount: 0 },
  }),
  'queue.bind': () => plain('queue.bind-ok'),
  'queue.unbind': () => plain('queue.unbind-ok'),
  'queue.purge': () => ({ method: 'queue.purge-ok', fields: { messageCount: 0 } }),
  'queue.delete': () => ({ method: 'queue.delete-ok', fields: { messageCount: 0 } }),
  'basic.qos': () => plain('basic.qos-ok'),
  'basic.consume': ({ consumerTag }) => ({ method: 'basic.consume-ok', fields: { consumerTag } }),
  'basic.cancel': ({ consumerTag }) => ({ method: 'basic.cancel-ok', fields: { consumerTag } }),
  'basic.get': () => plain('basic.get-empty'),
  'basic.recover': () => plain('basic.recover-ok'),
  'confirm.select': () => plain('confirm.select-ok'),
  'tx.select': () => plain('tx.select-ok'),
  'tx.commit': () => plain('tx.commit-ok'),
  'tx.rollback': () => plain('tx.rollback-ok'),
};

/** Undefined for what is no request, and for a request that asks for no answer. */
export function usualAnswer(method: AmqpMethod, fields: AmqpFields): Answer | undefined {
  return fields['nowait'] === true ? undefined : ANSWERS[method]?.(fields);
}

function plain(method: AmqpMethod): Answer {
  return { method, fields: {} };
}
