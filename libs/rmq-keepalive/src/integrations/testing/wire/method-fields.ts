/** The fields of every AMQP method in their order on the wire, with the names that amqplib gives them. */
import type { AmqpMethod } from './amqp-frames.js';

type FieldType = 'bit' | 'octet' | 'short' | 'long' | 'longlong' | 'shortstr' | 'longstr' | 'table';

export interface MethodField {
  readonly name: string;
  readonly type: FieldType;
}

const CLOSE = 'replyCode:short replyText:shortstr classId:short methodId:short';
const TUNE = 'channelMax:short frameMax:long heartbeat:short';
const BINDING = 'routingKey:shortstr nowait:bit arguments:table';
const ADDRESS = 'exchange:shortstr routingKey:shortstr';

const LISTS: Partial<Record<AmqpMethod, string>> = {
  'connection.start': 'versionMajor:octet versionMinor:octet serverProperties:table mechanisms:longstr locales:longstr',
  'connection.start-ok': 'clientProperties:table mechanism:shortstr response:longstr locale:shortstr',
  'connection.secure': 'challenge:longstr',
  'connection.secure-ok': 'response:longstr',
  'connection.tune': TUNE,
  'connection.tune-ok': TUNE,
  'connection.open': 'virtualHost:shortstr capabilities:shortstr insist:bit',
  'connection.open-ok': 'knownHosts:shortstr',
  'connection.close': CLOSE,
  'connection.blocked': 'reason:shortstr',
  'connection.update-secret': 'newSecret:longstr reason:shortstr',
  'channel.open': 'outOfBand:shortstr',
  'channel.open-ok': 'channelId:longstr',
  'channel.flow': 'active:bit',
  'channel.flow-ok': 'active:bit',
  'channel.close': CLOSE,
  'exchange.declare':
    'ticket:short exchange:shortstr type:shortstr passive:bit durable:bit autoDelete:bit internal:bit nowait:bit arguments:table',
  'exchange.delete': 'ticket:short exchange:shortstr ifUnused:bit nowait:bit',
  'exchange.bind': `ticket:short destination:shortstr source:shortstr ${BINDING}`,
  'exchange.unbind': `ticket:short destination:shortstr source:shortstr ${BINDING}`,
  'queue.declare':
    'ticket:short queue:shortstr passive:bit durable:bit exclusive:bit autoDelete:bit nowait:bit arguments:table',
  'queue.declare-ok': 'queue:shortstr messageCount:long consumerCount:long',
  'queue.bind': `ticket:short queue:shortstr exchange:shortstr ${BINDING}`,
  'queue.unbind': 'ticket:short queue:shortstr exchange:shortstr routingKey:shortstr arguments:table',
  'queue.purge': 'ticket:short queue:shortstr nowait:bit',
  'queue.purge-ok': 'messageCount:long',
  'queue.delete': 'ticket:short queue:shortstr ifUnused:bit ifEmpty:bit nowait:bit',
  'queue.delete-ok': 'messageCount:long',
  'basic.qos': 'prefetchSize:long prefetchCount:short global:bit',
  'basic.consume':
    'ticket:short queue:shortstr consumerTag:shortstr noLocal:bit noAck:bit exclusive:bit nowait:bit arguments:table',
  'basic.consume-ok': 'consumerTag:shortstr',
  'basic.cancel': 'consumerTag:shortstr nowait:bit',
  'basic.cancel-ok': 'consumerTag:shortstr',
  'basic.publish': `ticket:short ${ADDRESS} mandatory:bit immediate:bit`,
  'basic.return': `replyCode:short replyText:shortstr ${ADDRESS}`,
  'basic.deliver': `consumerTag:shortstr deliveryTag:longlong redelivered:bit ${ADDRESS}`,
  'basic.get': 'ticket:short queue:shortstr noAck:bit',
  'basic.get-ok': `deliveryTag:longlong redelivered:bit ${ADDRESS} messageCount:long`,
  'basic.get-empty': 'clusterId:shortstr',
  'basic.ack': 'deliveryTag:longlong multiple:bit',
  'basic.reject': 'deliveryTag:longlong requeue:bit',
  'basic.recover-async': 'requeue:bit',
  'basic.recover': 'requeue:bit',
  'basic.nack': 'deliveryTag:longlong multiple:bit requeue:bit',
  'confirm.select': 'nowait:bit',
};

const FIELDS: ReadonlyMap<string, readonly MethodField[]> = new Map(
  Object.entries(LISTS).map(([method, list]) => [method, list.split(' ').map(fieldOf)]),
);

/** None for a method that is only a name. */
export function fieldsOf(method: AmqpMethod): readonly MethodField[] {
  return FIELDS.get(method) ?? [];
}

function fieldOf(text: string): MethodField {
  const [name, type] = text.split(':') as [string, FieldType];
  return { name, type };
}
